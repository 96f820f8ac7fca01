"""What the runner does beside training: where it starts from, and what it prints."""

import sys
import time
from datetime import timedelta

import torch
from mmengine.hooks import Hook, LoggerHook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner, set_random_seed
from mmseg.registry import HOOKS


class StartFromHook(Hook):
    """Training starts from these weights: loaded behind the model's own initialisation.

    Args:
        state: some or all of the model's weights, by name.
    """

    priority = 'VERY_HIGH'  # ahead of hooks that copy the weights

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state = state

    def before_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        model.load_state_dict(self.state, strict=False)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Random numbers begin anew with each epoch: a training that was interrupted then ends as one that was not.

    The loader's workers begin anew by themselves, where they are not persistent.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        set_random_seed(runner.seed + 1000 * runner.epoch + runner.rank)


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """mmengine's record of the losses, read when they are logged: it reads them at every step, and waits for the GPU
    each time, which then waits for the next step."""

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self._waiting: list[dict[str, torch.Tensor]] = []
        self._interval = next(hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook))

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        self._waiting.append({name: value.detach() for name, value in outputs.items()})
        if self.every_n_inner_iters(batch_idx, self._interval) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            values = torch.stack([torch.stack(list(losses.values())) for losses in self._waiting]).tolist()
            for losses, row in zip(self._waiting, values, strict=True):
                super().after_train_iter(runner, batch_idx, data_batch, dict(zip(losses, row, strict=True)))
            self._waiting.clear()


@HOOKS.register_module()
class EpochSummaryHook(Hook):
    """One line per epoch: mean loss, learning rate, samples per second, memory and time left.

    Memory is the peak of the process: on CUDA what torch allocated, else the resident set.
    """

    priority = 'LOW'  # behind the hooks that step the learning rate

    def before_train(self, runner: Runner) -> None:
        self._start, self._first_epoch = time.monotonic(), runner.epoch

    def before_train_epoch(self, runner: Runner) -> None:
        self._losses: list[torch.Tensor] = []
        self._samples = 0
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
            f'epoch {done}/{total}  loss {torch.stack(self._losses).mean():.4f}  '
            f'lr {rates.get("base_lr", rates["lr"])[0]:.2e}  '
            f'{self._samples / (now - self._epoch_start):.0f} samples/s  '
            f'memory {_peak_memory() / 2**30:.1f} GiB  left {timedelta(seconds=round(left))}'
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
