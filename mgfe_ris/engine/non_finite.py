"""Losses and gradients that are no numbers: they stop a training, and never reach the weights."""

from dataclasses import dataclass
from math import isfinite

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.distributed.tensor import DTensor

from ..checkpoint_files import require_finite
from .strategy import largest_of_all
from .weights import optim_wrappers


class NonFiniteError(ArithmeticError):
    """A training has diverged, or a sample's loss is no number."""


@dataclass
class _Step:
    """One of the optimiser, with what went into it."""

    number: int
    epoch: int
    bad: torch.Tensor  # bool; read later, as that waits for a GPU
    losses: dict[str, torch.Tensor]
    samples: list[tuple]  # photo and sentence


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """A step whose loss or gradient is NaN or infinite changes no weight, and stops the training, or is left out.

    All gradients are read once ahead of each step. On a CPU the training stops at the step itself. On a GPU a fused
    optimiser is told there to pass over it, and the training stops when its losses are logged next, so that no step
    waits; any other optimiser waits for its gradients.

    With a loss scaler (``--amp`` on CUDA) gradients are left to the scaler, which finds its scale by those that are too
    large; a loss that is no number stops the training all the same.

    Args:
        max_skipped: so many steps are left out, and logged, before the training stops; 0 stops it at the first one.

    Attributes:
        in_parts: whether each process has a part of the gradients; they then ask one another.

    Raises:
        NonFiniteError: the step, its losses and its samples are named; or weights that are not finite would be saved.
    """

    priority = 'VERY_HIGH'  # ahead of the hooks that log and save

    def __init__(self, max_skipped: int = 0):
        self.max_skipped = max_skipped
        self.skipped = 0
        self.in_parts = False

    def before_train(self, runner: Runner) -> None:
        for wrapper in optim_wrappers(runner):
            if not _has_scaler(wrapper):
                wrapper.optimizer.register_step_pre_hook(self._before_step)
        # a batch that is left out has gone through the running means of the norms already
        self._buffers = [value for value in runner.model.buffers() if value.is_floating_point()]
        self._kept = [value.clone() for value in self._buffers] if self.max_skipped else []
        self._device = next(runner.model.parameters()).device
        self._at_once = self._device.type == 'cpu'
        self._interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 1)
        self._waiting: list[_Step] = []
        self._begin_step()

    def _begin_step(self) -> None:
        self._bad: torch.Tensor | None = None
        self._samples: list[tuple] = []

    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        parameters = [p for group in optimizer.param_groups for p in group['params'] if p.grad is not None]
        if not parameters and not self.in_parts:
            return
        bad = self._is_bad([p.grad for p in parameters])
        self._bad = bad if self._bad is None else self._bad | bad
        if optimizer.defaults.get('fused') and not self.in_parts:
            optimizer.found_inf = bad.float()  # type: ignore[attr-defined] # as a loss scaler tells it
        elif bad:
            for parameter in parameters:
                parameter.grad = None  # the optimiser passes over what has none

    def _is_bad(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        if not self.in_parts:
            return ~_largest(gradients).isfinite()
        device = gradients[0].device if gradients else self._device
        parts = [g.to_local() if isinstance(g, DTensor) else g for g in gradients]
        parts = [part for part in parts if part.numel()]
        bad = (~_largest(parts).isfinite()).float() if parts else torch.zeros((), device=device)
        return largest_of_all(bad) > 0

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        samples = data_batch.get('data_samples', []) if isinstance(data_batch, dict) else []
        self._samples += [(sample.get('img_path'), sample.get('sentence')) for sample in samples]
        if self._kept:
            torch._foreach_copy_(self._kept, self._buffers)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        bad = ~outputs['loss'].detach().isfinite()
        self._bad = bad if self._bad is None else self._bad | bad
        for buffer, kept in zip(self._buffers if self._kept else (), self._kept, strict=True):
            buffer.copy_(torch.where(self._bad, kept, buffer))
        if all(wrapper.should_update() for wrapper in optim_wrappers(runner)):
            losses = {name: value.detach() for name, value in outputs.items()}
            self._waiting.append(_Step(runner.iter + 1, runner.epoch + 1, self._bad, losses, self._samples))
            self._begin_step()
        logged = self.every_n_inner_iters(batch_idx, self._interval)
        if self._at_once or logged or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._read(runner)

    def _read(self, runner: Runner) -> None:
        """Report the bad ones of the steps since the last time."""
        steps, self._waiting = self._waiting, []
        for step, bad in zip(steps, torch.stack([s.bad for s in steps]).tolist() if steps else [], strict=True):
            if bad:
                self._report(runner, step)

    def _report(self, runner: Runner, step: _Step) -> None:
        losses = {name: value.item() for name, value in step.losses.items()}
        what = 'the loss' if not isfinite(losses['loss']) else 'a gradient'
        said = f'step {step.number}, epoch {step.epoch}: {what} is NaN or infinite ('
        said += ', '.join(f'{name} {value:.4g}' for name, value in losses.items()) + '); samples: '
        said += _names(step.samples)
        if self.skipped >= self.max_skipped:
            before = f', and {self.skipped} such steps were left out before' if self.skipped else ''
            raise NonFiniteError(
                f'{said}. This step changed no weight{before}, and the last checkpoint is whole. Look at these '
                'samples, or lower the learning rate, and go on with --resume; '
                'default_hooks.non_finite.max_skipped=N leaves out N such steps'
            )
        self.skipped += 1
        runner.logger.warning(f'left out {said}. {self.skipped} of the {self.max_skipped} steps that may be')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        self._read(runner)
        try:
            require_finite(checkpoint['state_dict'], f'epoch {runner.epoch + 1}, step {runner.iter}')
        except ValueError as error:
            raise NonFiniteError(
                f'{error}; nothing was saved. Lower the learning rate, and go on with --resume'
            ) from error
        if any(
            _has_scaler(wrapper) and wrapper.loss_scaler.get_scale() < _LEAST_SCALE
            for wrapper in optim_wrappers(runner)
        ):
            raise NonFiniteError(
                f'epoch {runner.epoch + 1}, step {runner.iter}: the loss scaler passed over all steps of late, as '
                'their gradients are NaN or infinite at any scale; nothing was saved. Train without --amp to see where'
            )

    def after_train(self, runner: Runner) -> None:
        self._read(runner)
        if self.skipped:
            runner.logger.warning(f'{self.skipped} steps were left out: their loss or gradient was no number')


_LEAST_SCALE = 2.0**-20  # a scaler begins with 2**16, and halves it where a gradient is not finite


def _has_scaler(wrapper: OptimWrapper) -> bool:
    return isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled()


def _largest(gradients: list[torch.Tensor]) -> torch.Tensor:
    """The largest size of all numbers in these tensors; NaN or infinity, if there is one."""
    return torch.stack([norm.float() for norm in torch._foreach_norm(gradients, float('inf'))]).max()


def _names(samples: list[tuple], most: int = 8) -> str:
    """Photo and sentence of the first few."""
    names = [f'{photo} {sentence!r}' for photo, sentence in samples[:most]]
    more = [f'and {len(samples) - most} more'] if len(samples) > most else []
    return ', '.join(names + more) or 'not known'
