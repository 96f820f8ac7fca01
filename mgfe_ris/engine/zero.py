"""DeepSpeed's ZeRO, stages 1 and 2: each process has all weights, and a part of the moments (and gradients)."""

import logging
import os
from collections.abc import Iterator
from copy import copy
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from mmengine._strategy.deepspeed import MMDeepSpeedEngineWrapper
from mmengine.dist import all_gather
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import nn

from .non_finite import NonFiniteHook
from .strategy import Strategy


class DeepSpeedStrategy(Strategy):
    """The optimiser is the config's; clipping by norm is DeepSpeed's own.

    Args:
        stage: of ZeRO, 1 or 2.

    Raises:
        ValueError: another stage.
        ImportError: DeepSpeed is not installed.
    """

    def __init__(self, stage: int = 2):
        if stage not in (1, 2):
            raise ValueError(f'strategy deepspeed: stage {stage}, expected 1 or 2; for 3 use fsdp')
        if find_spec('deepspeed') is None:
            raise ImportError('strategy deepspeed needs the package: pip install deepspeed')
        self.stage = stage

    def check_hook(self, hook: Hook) -> None:
        """Raises a ValueError for one that ZeRO's steps, a group of weights at a time, would pass by."""
        super().check_hook(hook)
        if isinstance(hook, NonFiniteHook) and hook.max_skipped:
            raise ValueError(f'{self}: NonFiniteHook cannot leave out steps; set max_skipped=0, or use fsdp')

    def check(self, model: nn.Module, optim_wrapper: OptimWrapper) -> None:
        """Raises a ValueError for what ZeRO cannot train."""
        super().check(model, optim_wrapper)
        if type(optim_wrapper) is not OptimWrapper:
            raise ValueError(f'{self}: trains in float32 only; leave out --amp, or use fsdp')
        if optim_wrapper._accumulative_counts != 1:
            raise ValueError(f'{self}: accumulative_counts must be 1')
        clip = dict(optim_wrapper.clip_grad_kwargs or {})
        clip.pop('max_norm', None)
        if clip not in ({}, dict(norm_type=2)):
            raise ValueError(f'{self}: clips by the norm of all gradients only, with max_norm; got {clip}')

    def start(self, model: nn.Module, optim_wrapper: OptimWrapper) -> nn.Module:
        """Share out the optimiser of a whole model, which is the same in all processes, and its state."""
        if not torch.cuda.is_available():
            os.environ.setdefault('DS_ACCELERATOR', 'cpu')  # read when it is imported
        import deepspeed

        logging.getLogger('DeepSpeed').setLevel(logging.WARNING)
        optimizer = optim_wrapper.optimizer
        state = self._take_apart(optimizer)
        for value in model.parameters():
            value.data = value.data.contiguous()
        settings = dict(
            train_micro_batch_size_per_gpu=1,  # it counts nothing by it
            zero_optimization=dict(stage=self.stage),
            zero_allow_untested_optimizer=True,
            zero_force_ds_cpu_optimizer=False,
            gradient_clipping=(optim_wrapper.clip_grad_kwargs or {}).get('max_norm', 0.0),
            steps_per_print=2**60,
        )
        engine, self._zero, *_ = deepspeed.initialize(
            model=model, optimizer=self._of_trainable(optimizer), config=settings, dist_init_required=False
        )
        self._load(optimizer, state)
        self._engine = engine
        optim_wrapper.update_params = self._update  # type: ignore[method-assign]
        return MMDeepSpeedEngineWrapper(model=engine)

    def _update(self, loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        self._engine.backward(loss)
        self._engine.step()

    def _take_apart(self, optimizer: torch.optim.Optimizer) -> dict[int, dict]:
        """Remember which weights an optimiser has, numbered as in its state; gives the state, and takes it."""
        numbered = enumerate(value for group in optimizer.param_groups for value in group['params'])
        self._groups: list[dict[int, nn.Parameter]] = []
        state: dict[int, dict] = {}
        for group in optimizer.param_groups:
            self._groups.append({next(numbered)[0]: value for value in group['params']})
            state |= {number: optimizer.state.get(value, {}) for number, value in self._groups[-1].items()}
            group['params'] = [value for value in group['params'] if value.requires_grad]
        optimizer.state.clear()
        return state

    def _of_trainable(self, optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """The same optimiser without the groups that are frozen, which ZeRO does not know; schedules see them all."""
        other = copy(optimizer)
        other.param_groups = [group for group in optimizer.param_groups if group['params']]
        other._optimizer_step_pre_hooks = optimizer._optimizer_step_pre_hooks
        return other

    def _parts(self) -> Iterator[tuple[dict[int, nn.Parameter], torch.Tensor]]:
        """The weights of a group that train, by number, and what this process has of them, in a row."""
        trained = [{i: value for i, value in group.items() if value.requires_grad} for group in self._groups]
        return zip(filter(None, trained), self._zero.single_partition_of_fp32_groups, strict=True)

    def _load(self, optimizer: torch.optim.Optimizer, state: dict[int, dict]) -> None:
        """Give this process its part of a whole state."""
        for weights, part in self._parts():
            moments = [state[number] for number in weights]
            if all(moments):
                shapes = [value.shape for value in weights.values()]
                optimizer.state[part] = {key: _part([of[key] for of in moments], shapes, part) for key in moments[0]}

    def whole_weights(self, model: Any) -> dict[str, Any]:
        """They are whole in each process."""
        state = model.module.state_dict()
        for name, value in state.items():
            state[name] = value.cpu()
        return state

    def whole_optimizer(self, optim_wrapper: OptimWrapper) -> dict[str, Any]:
        """As that of one process; each must ask."""
        whole = optim_wrapper.state_dict()
        state: dict[int, dict[str, Any]] = {}
        for group, weights in zip(whole['param_groups'], self._groups, strict=False):  # mmengine's has one more
            group['params'] = list(weights)
        for weights, part in self._parts():
            shapes = [value.shape for value in weights.values()]
            pieces = {key: _pieces(value, shapes, part) for key, value in optim_wrapper.optimizer.state[part].items()}
            state |= {number: {key: of[i] for key, of in pieces.items()} for i, number in enumerate(weights)}
        return {**whole, 'state': state}


def _part(values: list[Any], shapes: list[torch.Size], part: torch.Tensor) -> Any:
    """Of one moment of all weights of a group, what a process has: equal shares of all numbers in a row."""
    if not isinstance(values[0], torch.Tensor) or [value.shape for value in values] != shapes:
        return values[0]  # the number of steps
    row = torch.cat([value.reshape(-1).to(part) for value in values])
    row = F.pad(row, (0, part.numel() * torch.distributed.get_world_size() - row.numel()))
    return row.split(part.numel())[torch.distributed.get_rank()].clone()


def _pieces(value: Any, shapes: list[torch.Size], part: torch.Tensor) -> list[Any]:
    """The other way."""
    if not isinstance(value, torch.Tensor) or value.shape != part.shape:
        return [value.cpu() if isinstance(value, torch.Tensor) else value for _ in shapes]
    sizes = [shape.numel() for shape in shapes]
    row = torch.cat(all_gather(value)).cpu()[: sum(sizes)]
    return [piece.view(shape).clone() for piece, shape in zip(row.split(sizes), shapes, strict=True)]
