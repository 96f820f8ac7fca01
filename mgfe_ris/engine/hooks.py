"""What the runner does beside training: where it starts from, and what it prints."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from statistics import median

import mmengine.hooks
import torch
from mmengine.hooks import Hook, LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.distributed.tensor import DTensor

from .launch import sentence_counts
from .weights import optim_wrappers, unwrap


class StartFromHook(Hook):
    """Training starts from these weights: loaded after the model's own initialisation.

    Args:
        state: some or all of the model's weights, by name.
    """

    priority = 'VERY_HIGH'  # ahead of hooks that copy the weights

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state = state

    def before_train(self, runner: Runner) -> None:
        unwrap(runner.model).load_state_dict(self.state, strict=False)


@HOOKS.register_module()
class EarlyStoppingHook(mmengine.hooks.EarlyStoppingHook):
    """mmengine's, which counts the validations before a training was resumed, too."""

    priority = 'VERY_HIGH'  # ahead of a validation that is done again before the training goes on

    def before_train(self, runner: Runner) -> None:
        logged = runner.message_hub.log_scalars.get(f'val/{self.monitor}')
        for score in logged.data[0].tolist() if logged is not None else ():
            runner.train_loop.stop_training, _ = self._check_stop_condition(score)


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """mmengine's record of the losses, and of the norm of clipped gradients, read when they are logged: it reads them
    at every step, and waits for the GPU each time, which then waits for the next step."""

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._waiting: list[dict[str, torch.Tensor]] = []
        self._norms: list[tuple[str, torch.Tensor]] = []
        self._interval = next(hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook))
        for wrapper in optim_wrappers(runner):
            if wrapper.clip_grad_kwargs:
                wrapper.clip_func = self._clipping(wrapper.clip_func, f'train/{wrapper.grad_name}')

    def _clipping(self, clip: Callable, name: str) -> Callable:
        """``clip``, whose norm waits here: mmengine reads at once what it is given."""

        def keep_norm(*args, **kwargs) -> None:
            norm = clip(*args, **kwargs)
            if norm is not None:  # clipped by value
                self._norms.append((name, norm.full_tensor() if isinstance(norm, DTensor) else norm))

        return keep_norm

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._waiting.append({name: value.detach() for name, value in outputs.items()})
        if self.every_n_inner_iters(batch_idx, self._interval) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            values = torch.stack([torch.stack(list(losses.values())) for losses in self._waiting]).tolist()
            for losses, row in zip(self._waiting, values, strict=True):
                super().after_train_iter(runner, batch_idx, data_batch, dict(zip(losses, row, strict=True)))
            self._waiting.clear()
            norms = torch.stack([norm for _, norm in self._norms]).tolist() if self._norms else []
            for (name, _), norm in zip(self._norms, norms, strict=True):
                runner.message_hub.update_scalar(name, norm)
            self._norms.clear()


@HOOKS.register_module()
class EpochSummaryHook(Hook):
    """One line per epoch: mean loss, learning rate, samples per second, memory and time left; and at the end of a
    training or test, how many sentences had no word that the tokenizer knows, if some had none.

    Memory is the peak of the process: on CUDA what torch allocated, else the resident set.
    """

    priority = 'LOW'  # after the hooks that step the learning rate

    def before_train(self, runner: Runner) -> None:
        self._start, self._first_epoch = time.monotonic(), runner.epoch

    def before_train_epoch(self, runner: Runner) -> None:
        self._losses: list[torch.Tensor] = []
        self._samples = 0  # of a resumed epoch, what is left
        self._epoch_start = time.monotonic()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._losses.append(outputs['loss'].detach())
        self._samples += len(data_batch['inputs']) * runner.world_size

    def after_train_epoch(self, runner: Runner) -> None:
        done, total = runner.epoch + 1, runner.max_epochs
        now = time.monotonic()
        left = (now - self._start) / (done - self._first_epoch) * (total - done)
        rates = runner.optim_wrapper.get_lr()  # base_lr: what groups with a multiplier of their own start from
        runner.logger.info(
            f'epoch {done}/{total}  loss {torch.stack(self._losses or [torch.tensor(float("nan"))]).mean():.4f}  '
            f'lr {rates.get("base_lr", rates["lr"])[0]:.2e}  '
            f'{self._samples / (now - self._epoch_start):.0f} samples/s  '
            f'memory {_peak_memory() / 2**30:.1f} GiB  left {timedelta(seconds=round(left))}'
        )

    def after_train(self, runner: Runner) -> None:
        if unknown := sentence_counts(unwrap(runner.model))['unknown_sentences']:
            runner.logger.warning(f'{unknown} of the sentences that were read had no word that the tokenizer knows')

    after_test = after_train


@HOOKS.register_module()
class SlowStepsHook(Hook):
    """Says, once in a run, that steps on a CPU have become several times slower than the first ones, and what helps.

    A step is the work of the model and the optimiser. Waiting for data is none of it: it has other remedies, and the
    log has it as ``data_time``. Medians are compared, so that steps that are slow here and there say nothing.

    Where the model is not on a CPU the hook is silent: the clock would tell when work is handed over, not how long it
    takes, and to find that out the step would have to wait for it.

    Args:
        factor: slower than the first steps, in medians, to be worth a word.
        window: steps of a median; more than half of as many must be slow.
        warm_up: steps that are left out at the start of a run, resumed or not: they compile, and fill caches.
    """

    priority = 'HIGHEST'  # what other hooks do after a step, such as saving, is not measured

    def __init__(self, factor: float = 3.0, window: int = 51, warm_up: int = 10):
        self.factor, self.window, self.warm_up = factor, window, warm_up

    def before_train(self, runner: Runner) -> None:
        self._watching = next(runner.model.parameters()).device.type == 'cpu'
        self._first = runner.iter + self.warm_up
        self._seconds: deque[float] = deque(maxlen=self.window)
        self._normal: float | None = None

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        self._start = time.perf_counter()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if not self._watching or runner.iter < self._first:
            return
        self._seconds.append(time.perf_counter() - self._start)
        if len(self._seconds) < self.window:
            return
        recent = median(self._seconds)
        if self._normal is None:
            self._normal = recent
        elif recent > self.factor * self._normal:
            self._watching = False
            since = runner.iter + 1 - self.window // 2  # the slow ones are just more than half
            runner.logger.warning(
                f'training steps take {recent:.3g} s since about step {since}; the first ones took '
                f'{self._normal:.3g} s. Probably other programs share the cores{_remedy()}'
            )


def _remedy() -> str:
    """What helps beside other programs: several threads of OpenMP wait for each other actively, unless told not to."""
    threads = torch.get_num_threads()
    if threads == 1 or os.environ.get('OMP_WAIT_POLICY', '').upper() == 'PASSIVE':
        return '. End them'
    return (
        f', while the {threads} threads of OpenMP wait for each other actively. End them, or start again with '
        'OMP_WAIT_POLICY=PASSIVE (or OMP_NUM_THREADS=1) in the environment and --resume; see docs/speed.md'
    )


def _peak_memory() -> float:
    """Bytes; not a number where the system does not tell."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if sys.platform == 'win32':
        return float('nan')
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == 'darwin' else peak * 1024
