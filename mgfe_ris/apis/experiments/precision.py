"""Mixed precision of a training, on a GPU or a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """bf16 autocast on a CPU, where mmengine's ``AmpOptimWrapper`` refuses to run. bf16 needs no loss scale."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def use_mixed_precision(cfg: Config, numbers: str = 'auto') -> None:
    """Train by autocast.

    Args:
        cfg: whose ``optim_wrapper`` is changed.
        numbers: ``bf16``; ``fp16``, with a dynamic loss scale; or ``auto``, fp16 where there is CUDA, else bf16.

    Raises:
        ValueError: other numbers, or fp16 without CUDA.
    """
    cuda = torch.cuda.is_available()
    if numbers not in ('auto', 'bf16', 'fp16'):
        raise ValueError(f"numbers of mixed precision must be 'auto', 'bf16' or 'fp16'; got {numbers!r}")
    if numbers == 'fp16' and not cuda:
        raise ValueError('training in fp16 needs a loss scale, which mmengine has for CUDA alone; use bf16')
    if not cuda:
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
    elif numbers == 'bf16':
        cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=dict(enabled=False))
    else:
        cfg.optim_wrapper.update(type='AmpOptimWrapper', loss_scale='dynamic')
        if numbers == 'fp16':
            cfg.optim_wrapper.pop('dtype', None)
