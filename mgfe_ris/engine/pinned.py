"""Batches that a loader may pin, so that their copies to a GPU need not wait: photos, and what samples hold."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import BaseDataElement


class Samples(list):
    """Of a batch. torch pins tensors in lists and dicts, and passes over samples unless they are asked.

    torch 2.7 does not ask lists: masks are not pinned there, which costs time alone.
    """

    def pin_memory(self) -> 'Samples':
        """As the loader's thread calls it, after its workers."""
        return Samples(map(_pinned, self))


def _pinned(sample: BaseDataElement) -> BaseDataElement:
    made = sample.new()
    for name, value in sample.items():
        if isinstance(value, BaseDataElement):
            made.set_data({name: _pinned(value)})
        elif isinstance(value, torch.Tensor):
            made.set_data({name: value.pin_memory()})
    return made


def collate(batch: Sequence[Any]) -> Any:
    """mmengine's ``pseudo_collate``, with ``data_samples`` as :class:`Samples`."""
    made = pseudo_collate(batch)
    if isinstance(made, dict) and isinstance(next(iter(made.get('data_samples', ())), None), BaseDataElement):
        made['data_samples'] = Samples(made['data_samples'])
    return made
