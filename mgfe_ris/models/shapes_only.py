"""Models that are looked at and not run: tensors of sizes, without numbers."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextmanager
def shapes_only() -> Iterator[None]:
    """What is built inside lies on the device ``meta``: a model of any size takes no memory, and no time."""
    with torch.device('meta'), _Numbers():
        yield


def build_shapes(build: Callable[[], nn.Module]) -> nn.Module:
    """What ``build()`` returns, without numbers where that can be: a part may read what it made, and then has them."""
    try:
        with shapes_only():
            return build()
    except RuntimeError:
        return build()


class _Numbers(TorchFunctionMode):
    """Swin and ViT read the rates of their dropped paths out of a tensor, which must so have numbers."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        return func(*args, **({'device': 'cpu'} | kwargs if func is torch.linspace else kwargs))
