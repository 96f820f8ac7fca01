"""The runner of trainings that several processes share in parts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from torch import nn

from .fsdp import FSDPStrategy
from .non_finite import NonFiniteHook
from .runner import NO_CUDA, RISRunner
from .strategy import Strategy, StrategyHook
from .zero import DeepSpeedStrategy

STRATEGIES = dict(fsdp=FSDPStrategy, deepspeed=DeepSpeedStrategy)


def build_runner(cfg: Config) -> RISRunner:
    """The runner of a training, by the field ``strategy`` of its config.

    ``ddp``, the default: each process has the whole model. ``fsdp`` or ``deepspeed``: a part of it. mmengine's names
    are known, too (``FSDPStrategy``), and a dict of it as ``type`` and arguments of the class here.

    Raises:
        ValueError: no such strategy, an argument that it does not take, or what it needs is not there.
    """
    strategy = read_strategy(cfg.get('strategy'))
    if strategy is None:
        return RISRunner.from_cfg(cfg)
    if cfg.get('launcher', 'none') == 'none':
        raise ValueError(f'{strategy} shares the model between processes: start them with tools/dist_train.sh')
    if cfg.get('model', {}).get('compile'):
        raise ValueError(f'{strategy}: a compiled model cannot be taken apart; leave out model.compile')
    if cfg.get('model_wrapper_cfg'):
        raise ValueError(f'{strategy}: model_wrapper_cfg is of ddp; leave it out')
    runner = ShardedRunner.from_cfg(cfg)
    runner.register_hook(StrategyHook(strategy))
    return runner


def read_strategy(setting: str | Mapping | None) -> Strategy | None:
    """None: each process has the whole model."""
    settings = dict(setting) if isinstance(setting, Mapping) else dict(type=setting or 'ddp')
    kind = settings.pop('type', 'ddp')
    given = str(getattr(kind, '__name__', kind))
    name = given.removesuffix('Strategy').lower()
    if name in ('ddp', 'singledevice'):
        if settings:
            raise ValueError(
                f'strategy {given} takes no {", ".join(settings)}; find_unused_parameters is a field itself'
            )
        return None
    if name not in STRATEGIES:
        raise ValueError(f'strategy {given}: expected ddp, {" or ".join(STRATEGIES)}')
    try:
        return STRATEGIES[name](**settings)
    except TypeError as error:
        raise ValueError(f'strategy {given}: {error}') from error


class ShardedRunner(RISRunner):
    """Loads whole checkpoints and saves whole ones, as :class:`RISRunner` does."""

    model: Any

    @property
    def strategy(self) -> Strategy:
        """Of the hook that starts it."""
        return next(hook.strategy for hook in self.hooks if isinstance(hook, StrategyHook))

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """To the device, unwrapped: the strategy does it when the weights are loaded."""
        if not torch.cuda.is_available():
            self.logger.info(NO_CUDA.format(self.world_size))
            return revert_sync_batchnorm(model)
        model = model.to(get_device())
        return convert_sync_batchnorm(model, self.cfg.sync_bn) if self.cfg.get('sync_bn') else model

    def prepare_training(self) -> None:
        """As :class:`RISRunner` does.

        Raises:
            ValueError: the strategy cannot train this.
        """
        super().prepare_training()
        self.strategy.check(self.model, self.optim_wrapper)
        for hook in self.hooks:
            self.strategy.check_hook(hook)
            if isinstance(hook, NonFiniteHook):
                hook.in_parts = True

    def save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """As :class:`RISRunner` does, in the first process, after all that put the model together."""
        weights = self.strategy.whole_weights(self.model)
        optimizer = self.strategy.whole_optimizer(self.optim_wrapper) if kwargs.get('save_optimizer', True) else {}
        with self._as_whole(weights, optimizer):
            super().save_checkpoint(*args, **kwargs)

    @contextmanager
    def _as_whole(self, weights: dict[str, Any], optimizer: dict[str, Any]) -> Iterator[None]:
        """mmengine asks the model and the optimiser for their state, in the first process only."""
        given, shown = self.model, _Shown(weights)
        wrapper = self.optim_wrapper
        self.model, wrapper.state_dict = shown, lambda: optimizer
        try:
            yield
        finally:
            self.model = given
            del wrapper.state_dict


class _Shown(nn.Module):
    """Has a state, and nothing else."""

    def __init__(self, state: dict[str, Any]):
        super().__init__()
        self.state_dict = lambda: state  # type: ignore[method-assign,assignment]
