"""Training loops that may stop after any step, and go on from there."""

from collections.abc import Iterator
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from typing import Any

import mmengine.runner
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import broadcast_object_list, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from torch.utils.data import DataLoader

from ..datasets.seeded import SeededSampler, seed_generators
from .checkpoints import name_last
from .launch import share_buffers
from .stopping import Stopped
from .weights import optim_wrappers, unwrap


class _StoppingLoop(mmengine.runner.BaseLoop):
    """What both loops share.

    A checkpoint holds how many samples all processes have trained on: of this epoch, or, where steps are counted, of
    the run. What is drawn at random in a step, by dropout, depends on the seed, the step and the process alone, so that
    no state of a generator is to be kept.

    Attributes:
        samples: so many, after the step that is done now.
        saved: the steps that the last checkpoint to go on from holds.
    """

    runner: Any
    dataloader: DataLoader
    epoch: int
    _iter: int

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.samples = 0
        self.saved = 0
        self._stopped: Stopped | None = None
        self.runner.register_hook(_StoppingHook(self))

    def run(self) -> Any:
        """Train; asked to stop, write what is to go on from.

        Raises:
            Stopped: see :class:`StopRequest`.
        """
        try:
            with self.runner.stop.noted():
                return super().run()  # type: ignore[safe-super]
        except Stopped as stopped:
            saved = [self.saved]
            if stopped is self._stopped:  # and no second signal
                broadcast_object_list(saved)  # the others do not know it
                if self._iter > saved[0]:
                    stopped.saved = str(self._save())
            raise

    def stop_if_asked(self) -> None:
        """Where the weights are those after a step, and no gradient waits for more.

        Raises:
            Stopped: see :class:`StopRequest`.
        """
        if self.runner.stop.agreed() and self.updated():
            self._stopped = Stopped(self.runner.stop.signum)
            raise self._stopped

    def updated(self) -> bool:
        """Whether the last step changed the weights: with gradients of several steps, not each does."""
        return all(wrapper.should_update() for wrapper in optim_wrappers(self.runner))

    def draw_anew(self) -> None:
        """Begin with the random numbers of the step that comes."""
        seed_generators(self.runner.seed, self._iter, self.runner.rank)

    def run_iter(self, *args: Any) -> None:
        """A step on the batch that is the last argument."""
        self.draw_anew()
        self.samples += _samples_in(args[-1], self.dataloader) * get_world_size()
        super().run_iter(*args)  # type: ignore[misc]

    def batches(self, steps: int | None = None) -> Iterator[Any]:
        """Of the loader, which may let wait for one, and there is no need to wait where it is to stop.

        Args:
            steps: so many are there, after which an epoch is brought to its end.
        """
        iterator = iter(self.dataloader)
        for step in count():
            try:
                with self.runner.stop.at_once() if self.updated() and step != steps else nullcontext():
                    batch = next(iterator, None)
            except Stopped as stopped:
                self._stopped = stopped
                raise
            if batch is None:
                return
            yield batch

    def _save(self) -> Path:
        """Beside the checkpoints of epochs, or as one more of those of steps."""
        runner = self.runner
        hook = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        meta = dict(epoch=self.epoch, iter=self._iter)
        if hook is not None and not hook.by_epoch:
            hook._save_checkpoint_with_step(runner, self._iter, meta)
            return Path(hook.out_dir, hook.filename_tmpl.format(self._iter))
        path = Path(runner.checkpoint_folder, f'iter_{self._iter}.pth')
        runner.save_checkpoint(str(path.parent), path.name, meta=meta, by_epoch=False)
        name_last(runner.work_dir, path)
        if is_main_process():
            before = Path(runner._load_from or '')  # where it stopped the last time
            if before.parent == path.parent and before.name.startswith('iter_') and before != path:
                before.unlink(missing_ok=True)
        return path


class EpochBasedTrainLoop(_StoppingLoop, mmengine.runner.EpochBasedTrainLoop):
    """mmengine's, which goes on in the middle of an epoch, too: nothing that was trained on is loaded again."""

    def run_epoch(self) -> None:
        """From where it stopped, else from the start."""
        self.draw_anew()
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if not isinstance(_sampler_of(self.dataloader), SeededSampler):
            self.samples = 0  # somebody's own loader, which begins an epoch at its start
        steps = len(self.dataloader)
        left = self._steps_left(self.samples)
        _begin_at(self.dataloader, self.samples // get_world_size())
        for idx, batch in enumerate(self.batches(left), steps - left):
            self.run_iter(idx, batch)
            if idx + 1 < steps:
                self.stop_if_asked()
        self.samples = 0
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self.stop_if_asked()

    def steps_of(self, epochs: int, samples: int) -> int:
        """How many steps so many epochs take with this loader, and so many samples of one more, of all processes."""
        return (epochs + 1) * len(self.dataloader) - self._steps_left(samples)

    def _steps_left(self, samples: int) -> int:
        """Of an epoch: of what is left of its samples, whose batches may have been of another size before."""
        size = self.dataloader.batch_size
        if samples == 0 or size is None:
            return len(self.dataloader) - (self._iter - self._epoch * len(self.dataloader) if samples else 0)
        left = max(0, len(self.dataloader.sampler) - samples // get_world_size())  # type: ignore[arg-type]
        return left // size if self.dataloader.drop_last else -(-left // size)


class IterBasedTrainLoop(_StoppingLoop, mmengine.runner.IterBasedTrainLoop):
    """mmengine's, which goes on without loading anything again that was trained on."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.dataloader_iterator = _EndlessBatches(self)

    def run_iter(self, data_batch: Any) -> None:
        """A step."""
        super().run_iter(data_batch)
        if self._iter < self._max_iters:
            self.stop_if_asked()


class _EndlessBatches:
    """Batches of one epoch after the other."""

    def __init__(self, loop: IterBasedTrainLoop):
        self.loop = loop
        self._epoch = 0
        self._iterator: Iterator[Any] | None = None

    def skip_iter(self, steps: int) -> None:
        """Begin after so many steps of the run, or rather after the loop's samples, if they are known."""
        loader = self.loop.dataloader
        sampler, size = _sampler_of(loader), loader.batch_size or 1
        if not isinstance(sampler, SeededSampler):
            return
        done = self.loop.samples // get_world_size() or steps * size
        if not isinstance(sampler.sampler, InfiniteSampler):
            self._epoch, done = divmod(done, len(loader) * size if loader.drop_last else len(sampler))
            sampler.set_epoch(self._epoch)
        _begin_at(loader, done)

    def __next__(self) -> Any:
        if self._iterator is None:
            self._iterator = self.loop.batches()
        batch = next(self._iterator, None)
        if batch is None:
            self._epoch += 1
            sampler = _sampler_of(self.loop.dataloader)
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(self._epoch)
            self._iterator = self.loop.batches()
            batch = next(self._iterator)
        return batch


class _StoppingHook(Hook):
    """What a loop has to say where it is not asked itself."""

    priority = 'VERY_HIGH'

    def __init__(self, loop: _StoppingLoop):
        self.loop = loop
        self._gradients: dict[str, torch.Tensor] = {}

    def before_train(self, runner: Any) -> None:
        seed = runner.seed - (runner.rank if runner._randomness_cfg.get('diff_rank_seed') else 0)
        for loop in filter(None, (runner.train_loop, runner.val_loop)):  # a resumed run has the seed that it had
            if isinstance(sampler := _sampler_of(loop.dataloader), SeededSampler):
                sampler.set_seed(seed)
        for name, parameter in unwrap(runner.model).named_parameters():
            if name in self._gradients:
                parameter.grad = self._gradients.pop(name).to(parameter)

    def before_val(self, runner: Any) -> None:
        self.loop.draw_anew()  # one that is done again draws the same
        share_buffers(unwrap(runner.model))  # what is validated is what is saved

    def before_val_epoch(self, runner: Any) -> None:
        # processes may get different numbers of batches, and ask one another after those that all have
        self._asked = runner.stop.least(len(runner.val_loop.dataloader))

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if batch_idx >= self._asked:
            return
        try:
            self.loop.stop_if_asked()
        except Stopped:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):  # else the averages would be saved as the weights
                    hook._swap_ema_parameters()
            raise

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        checkpoint['meta']['samples'] = self.loop.samples
        if 'optimizer' not in checkpoint:
            return
        self.loop.saved = checkpoint['meta']['iter']
        if not self.loop.updated() and get_world_size() == 1:  # of several, each has its own
            parameters = unwrap(runner.model).named_parameters()
            checkpoint['gradients'] = {name: p.grad.cpu() for name, p in parameters if p.grad is not None}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        if runner._resume:
            self.loop.samples = checkpoint['meta'].get('samples', 0)
            self.loop.saved = checkpoint['meta']['iter']
            self._gradients = dict(checkpoint.get('gradients', {}))


def _sampler_of(loader: DataLoader) -> Any:
    """Of single samples."""
    if isinstance(loader.sampler, SeededSampler):
        return loader.sampler
    return getattr(loader.batch_sampler, 'sampler', loader.sampler)


def _begin_at(loader: DataLoader, place: int) -> None:
    sampler = _sampler_of(loader)
    if place and isinstance(sampler, SeededSampler):
        sampler.begin_at(place)


def _samples_in(batch: Any, loader: DataLoader) -> int:
    known = isinstance(batch, dict) and 'inputs' in batch
    return len(batch['inputs']) if known else loader.batch_size or 1
