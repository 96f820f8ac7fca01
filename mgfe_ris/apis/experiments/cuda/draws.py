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
            here = dict(device=like.device, dtype=kwargs.get('dtype') or like.dtype)
            if func is torch.rand_like:
                return torch.rand(like.shape, dtype=torch.float32, generator=self._generator).to(**here)
            return torch.randint(*bounds, like.shape, generator=self._generator).to(**here)
        if func in (torch.rand, torch.randperm):
            device = kwargs.pop('device', None)
            numbers = {'dtype': torch.float32} if func is torch.rand else {}
            return func(*args, **numbers, **kwargs, generator=self._generator).to(device)
        return func(*args, **kwargs)


class AllDouble(TorchFunctionMode):
    """What models turn to float32, or make beside their weights, is float64."""

    def __enter__(self) -> 'AllDouble':
        self._usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self._usual)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        return (Tensor.double if func is Tensor.float else func)(*args, **(kwargs or {}))
