"""Samples of the data that a config names, for what an export has to see of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from ...data_parts import with_changed_parts
from ...datasets.seeded import SampleNumber, SeededDataset
from ..config import input_pipeline


class ConfigSamples:
    """Up to ``count`` samples of a loader of the config, evenly spaced, the same each time, prepared as for a test.

    Args:
        cfg: of a model.
        name: ``train`` or ``val``.
        count: at most.

    Raises:
        FileNotFoundError: the data is not there.
        ValueError: the config has no such loader, the data set has no sample, or is broken.
    """

    def __init__(self, cfg: Config, name: str, count: int):
        if not cfg.get(f'{name}_dataloader'):
            raise ValueError(f'{cfg.filename}: no {name}_dataloader, whose samples are needed; name a config with one')
        self.settings = cfg[f'{name}_dataloader'].dataset
        self._dataset = SeededDataset(with_changed_parts(self.settings, pipeline=input_pipeline(cfg)))
        if len(self._dataset) == 0:
            raise ValueError(f'{cfg.filename}: the data set of {name}_dataloader is empty; name another data_root')
        self._chosen = np.linspace(0, len(self._dataset) - 1, min(count, len(self._dataset))).round().astype(int)

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What a loader with batches of one hands to a model's preprocessor."""
        for i in self._chosen:
            yield pseudo_collate([self._dataset[SampleNumber(i)]])
