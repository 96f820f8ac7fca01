"""How several processes share a training: each has all of it, or a part."""

from typing import Any

import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn


class Strategy:
    """What a training that is shared in parts does otherwise.

    A model is built, checked and loaded whole, as in one process, and shared out as the training starts; it is put
    together to be saved. So every checkpoint is one of a single process, and goes on with any strategy.
    """

    def check(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Raises a ValueError for what it cannot train; ahead of the training."""
        if isinstance(optim_wrapper, AmpOptimWrapper) and optim_wrapper.loss_scaler.is_enabled():
            raise ValueError(
                f'{self}: a loss scale needs whole gradients; train with --amp bf16, which has none, or without --amp'
            )
        if type(optim_wrapper).__name__ not in ('OptimWrapper', 'AmpOptimWrapper', 'CPUAmpOptimWrapper'):
            raise ValueError(f'{self}: expected one optimiser in an OptimWrapper, got {type(optim_wrapper).__name__}')

    def check_hook(self, hook: Hook) -> None:
        """Raises a ValueError for one that reads whole weights at each step."""
        if isinstance(hook, EMAHook):
            raise ValueError(f'{self}: EMAHook averages whole weights, of which a process has a part; use ddp')

    def start(self, model: nn.Module, optim_wrapper: OptimWrapper) -> nn.Module:
        """Share a model out, and the state of its optimiser; gives what trains."""
        raise NotImplementedError

    def whole_weights(self, model: Any) -> dict[str, Any]:
        """Of all processes together, on the CPU; each must ask."""
        raise NotImplementedError

    def whole_optimizer(self, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """As that of one process; each must ask."""
        raise NotImplementedError

    def before_val(self, model: nn.Module) -> None:
        """Ahead of a validation, of which one process may have more batches than another."""

    def after_val(self, model: nn.Module) -> None:
        """After it."""

    def __str__(self) -> str:
        return f'strategy {type(self).__name__.removesuffix("Strategy").lower()}'


class StrategyHook(Hook):
    """Starts a strategy, when all weights are loaded."""

    priority = 'HIGH'  # after StartFromHook, ahead of the hooks that log and save

    def __init__(self, strategy: Strategy):
        self.strategy = strategy

    def before_train(self, runner: Any) -> None:
        runner.model = self.strategy.start(runner.model, runner.optim_wrapper)

    def before_val_epoch(self, runner: Any) -> None:
        self.strategy.before_val(runner.model)

    def after_val_epoch(self, runner: Any, metrics: dict[str, float] | None = None) -> None:
        self.strategy.after_val(runner.model)


def largest_of_all(value: torch.Tensor) -> torch.Tensor:
    """The maximum over all processes."""
    value = value.clone()
    torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
    return value
