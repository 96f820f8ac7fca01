"""Random numbers that are the same on every device and in every precision; and float64 all the way."""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class SameDraws(TorchFunctionMode):
    """What models draw in training comes from a generator of the CPU, begun anew with each context."""

    def __init__(self, seed: int = 0):
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is Tensor.exponential_:
            drawn = torch.empty(args[0].shape, dtype=torch.float32).exponential_(*args[1:], generator=self._generator)
            return args[0].copy_(drawn)
        if func in (torch.rand_like, torch.randint_like):
            like, *bounds = args
            drawn = torch.empty(like.shape)
            if func is torch.rand_like:
                drawn.uniform_(generator=self._generator)
            else:
                drawn.random_(*bounds, generator=self._generator)
            return drawn.to(device=like.device, dtype=kwargs.get('dtype') or like.dtype)
        if func in (torch.rand, torch.randperm):
            device = kwargs.pop('device', None)
            numbers = {'dtype': torch.float32} if func is torch.rand else {}
            return func(*args, **numbers, **kwargs, generator=self._generator).to(device)
        return func(*args, **kwargs)


class AllDouble(TorchFunctionMode):
    """What models turn to float32 is float64, and the largest numbers of float64 have room in what is filled."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.full and isinstance([*args, kwargs.get('fill_value')][1], float):
            kwargs = {'dtype': torch.float64} | kwargs
        return (Tensor.double if func is Tensor.float else func)(*args, **kwargs)
