"""Training that goes on: a checkpoint is read safely, and nothing outside of the work dir is touched."""

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from logging import INFO, WARNING
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, is_distributed, master_only, sync_random_seed
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Priority, Runner
from mmengine.utils import get_object_from_string
from mmengine.visualization import Visualizer
from mmseg.registry import MODEL_WRAPPERS
from torch import nn
from torch.utils.data import DataLoader

from ..checkpoint_files import read_checkpoint, require_intact
from ..datasets.seeded import SeededDataset, SeededSampler
from ..evaluation.protocols import require_no_threshold
from ..models.renaming import state_dict_of
from ..models.size_limit import building
from ..output_files import NO_RIGHT, NO_ROOM, whole_file
from ..structures import gives_scores
from ..tf32 import set_tf32
from . import loops
from .changed_settings import Change, changed_samples, changes_of, samples_of, settings_as_json
from .checkpoint_hook import CheckpointHook as WholeCheckpointHook
from .checkpoints import BEST, LAST, SAMPLES, SETTINGS, newest_first, nothing_in, resumable_in, training_state
from .dealing import DealtBatches, is_dealt
from .file_only import file_only
from .launch import join_processes
from .pinned import collate
from .stopping import Stopped, StopRequest, keep_workers
from .weights import check_weights, unwrap

NO_CUDA = 'no CUDA: {} processes on the CPU, through gloo; norms are not synchronised'


class RISRunner(DealtBatches):
    """mmengine's runner, whose checkpoints are read by ``read_checkpoint``: mmengine's reader runs what they hold.

    A folder that was copied or moved goes on by itself: of the paths that a checkpoint names, only the names count.

    What is random in the data depends on the seed, the epoch and the sample alone, and several processes together load
    what one would. A training that a signal stops goes on from its step.

    Attributes:
        stop: of the training.
    """

    stop: StopRequest

    _load_from: str | None
    optim_wrapper: Any
    param_schedulers: Any
    resumed: Path | None = None
    _changed: Sequence[Change] = ()
    _anyway: bool = False
    _samples_then: dict | None = None

    def setup_env(self, env_cfg: dict) -> None:
        """mmengine's, which takes a GPU for granted where several processes meet, see :func:`join_processes`; and
        ``tf32``, the arguments of :func:`set_tf32`."""
        set_tf32(**env_cfg.get('tf32', {}))
        if self.distributed and not is_distributed():
            join_processes(self.launcher, **env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def build_model(self, model: nn.Module | dict) -> nn.Module:
        """mmengine's, with a limit of the size where a config in JSON says it, which may come from anybody."""
        with building(self.cfg.filename):
            return super().build_model(model)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """mmengine's, which puts each process's model on a GPU: without one, several processes share the cores."""
        if not self.distributed or torch.cuda.is_available() or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        self.logger.info(NO_CUDA.format(self.world_size))
        wrapper: dict = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
        wrapper['find_unused_parameters'] = self.cfg.get('find_unused_parameters', False)
        return MODEL_WRAPPERS.build({**wrapper, **(model_wrapper_cfg or {}), 'module': revert_sync_batchnorm(model)})

    def build_visualizer(self, visualizer: Visualizer | dict | None = None) -> Visualizer:
        """mmengine's; where TensorBoard is not installed, a run does without its files."""
        if isinstance(visualizer, dict) and find_spec('tensorboard') is None:
            backends = visualizer.get('vis_backends') or []
            kept = [backend for backend in backends if backend.get('type') != 'TensorboardVisBackend']
            if len(kept) < len(backends):
                self.logger.warning('no files for TensorBoard, which is not installed: pip install tensorboard')
                visualizer = dict(visualizer, vis_backends=kept)
        return super().build_visualizer(visualizer)

    def register_hook(self, hook: Hook | dict, priority: str | int | Priority | None = None) -> None:
        """mmengine's; in the place of its ``CheckpointHook``, which deletes before it writes, ours."""
        if isinstance(hook, dict):
            kind = hook.get('type')
            kind = get_object_from_string(kind) if isinstance(kind, str) and '.' in kind else kind
            if kind in ('CheckpointHook', CheckpointHook):
                hook = {**hook, 'type': WholeCheckpointHook}
        super().register_hook(hook, priority)

    def build_evaluator(self, evaluator: dict | list[dict] | Evaluator) -> Evaluator:
        """mmengine's.

        Raises:
            ValueError: a protocol with a threshold, of a model without scores; before anything is computed.
        """
        built = super().build_evaluator(evaluator)
        if not gives_scores(unwrap(self.model)):
            for metric in built.metrics:
                require_no_threshold(getattr(metric, 'protocols', {}))
        return built

    def dump_config(self) -> None:
        """mmengine's, as the runner is built: what is there stays until a training or test is known to begin."""
        if not self._config_file.is_file():
            self._write_config()

    @property
    def _config_file(self) -> Path:
        return Path(self.work_dir, Path(self.cfg.filename or f'{self.timestamp}.py').name)

    @master_only
    def _write_config(self) -> None:
        with whole_file(self._config_file) as part:
            part.write_text(self.cfg.dump(), encoding='utf-8')

    def test(self) -> dict:
        """mmengine's."""
        self._write_config()
        return super().test()

    def train(self) -> nn.Module:
        """Train.

        Raises:
            Stopped: SIGINT, SIGTERM, SIGUSR1 or SIGHUP asked for it; see :class:`StopRequest`.
        """
        self.stop = StopRequest()
        try:
            with self.stop.watch():
                self._write_config()
                return super().train()
        except Stopped:
            self.visualizer.close()  # what was logged of late is written
            raise

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's; its two loops are ours, which may stop after any step."""
        if isinstance(loop, dict):
            loop = dict(loop)
            by_epoch = loop.pop('by_epoch', None)
            named = loop.get('type', 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop')
            kind = LOOPS.get(named) if isinstance(named, str) else named
            ours = {EpochBasedTrainLoop: loops.EpochBasedTrainLoop, IterBasedTrainLoop: loops.IterBasedTrainLoop}
            loop['type'] = ours.get(kind, named)
        return super().build_train_loop(loop)

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict, seed: int | None = None, diff_rank_seed: bool = False
    ) -> DataLoader:
        """mmengine's, with a data set and a sampler that draw by the seed, the epoch and the sample.

        Batches lie in pinned memory, from where copies to a GPU need not wait, unless the config says otherwise; and
        never where there is no GPU.

        Args:
            dataloader: config, or loader, which is given back.
            seed: of all processes; with ``diff_rank_seed`` this one's number is in it.
        """
        if isinstance(dataloader, DataLoader):
            return dataloader
        seed = sync_random_seed() if seed is None else seed - get_rank() * diff_rank_seed
        settings = dict(dataloader, dataset=dict(type=SeededDataset, dataset=dataloader['dataset']))
        batch = dataloader.get('batch_size') if dataloader.get('drop_last') else None
        settings['sampler'] = dict(type=SeededSampler, sampler=dataloader['sampler'], seed=seed, batch=batch)
        settings['pin_memory'] = dataloader.get('pin_memory', True) and torch.cuda.is_available()
        settings.setdefault('collate_fn', dict(type=collate))
        loader = Runner.build_dataloader(settings, seed)
        keep_workers(loader)
        return loader

    def prepare_training(self) -> None:
        """Build what trains ahead of the training, so that what is wrong with the input shows before it starts.

        Raises:
            ValueError: fewer samples than one batch; or a training that goes on, with other samples.
        """
        for loop in filter(None, (self.train_loop, self.val_loop)):  # reads the data sets
            samples = len(loop.dataloader.dataset)
            self.logger.info(f'{type(loop).__name__}: {samples} samples')
            if samples == 0 or (len(loop.dataloader) == 0 and not is_dealt(loop.dataloader)):
                raise ValueError(f'fewer samples ({samples}) than one batch; lower batch_size')
        if self._samples_then:  # else they are hashed at the first checkpoint: of a large data set, that takes seconds
            changes = changed_samples(self._samples_then, self._samples)
            self._changed = [*self._changed, *self._admit(changes, 'samples')]
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self._compare_ends()
            if not (self.auto_scale_lr or {}).get('enable'):  # else they are built after the rate's scaling
                self.param_schedulers = self.build_param_scheduler(self.param_schedulers)

    def build_optim_wrapper(self, optim_wrapper: OptimWrapper | dict) -> Any:
        """mmengine's; its lines about weights, of which there are hundreds, stand in the file of the log alone."""
        if isinstance(optim_wrapper, OptimWrapper):
            return optim_wrapper  # the training asks again
        weights = list(self.model.parameters())
        if frozen := sum(weight.numel() for weight in weights if not weight.requires_grad):
            total = sum(weight.numel() for weight in weights)
            self.logger.info(f'{frozen / 1e6:.2f} M of {total / 1e6:.2f} M parameters are frozen')
        with file_only(self.logger):
            return super().build_optim_wrapper(optim_wrapper)

    def _compare_ends(self) -> None:
        """Say where the learning rate's schedule ends before the training, or after it."""
        by_epoch = isinstance(self.train_loop, EpochBasedTrainLoop)
        unit, total = ('epoch', self.max_epochs) if by_epoch else ('step', self.max_iters)
        schedulers = self.param_schedulers if isinstance(self.param_schedulers, list) else [self.param_schedulers]
        same = [s for s in schedulers if isinstance(s, dict) and s.get('by_epoch', True) == by_epoch]
        ends = [s['end'] for s in same if s.get('end')]
        if not ends or max(ends) == total:
            return
        effect = 'stays as it is from there on' if max(ends) < total else 'does not come down to its end'
        self.logger.warning(
            f'param_scheduler ends at {unit} {max(ends)}, the training at {total}: the learning rate {effect}. Set end '
            f'of the scheduler to {total}'
        )

    def choose_resumed(self, anyway: bool = False) -> None:
        """Find the checkpoint to resume from, if there is one: ``load_from`` of the config, else the newest whole one.

        Args:
            anyway: go on with settings that make another training of it; they apply from here on, see :meth:`resume`.

        Raises:
            FileNotFoundError: the one that ``load_from`` names is not there; none to go on from, where there were some.
            ValueError: it is no checkpoint of a training, or of another model; or there are some, and none is whole;
                or it is of a training with other settings.
        """
        folder = self.checkpoint_folder
        if self._load_from is not None:
            checkpoint = self._read(self._load_from)
        elif candidates := resumable_in(folder):
            self._load_from, checkpoint = self._newest(candidates)
        elif (folder / LAST).is_file() or any(folder.glob(BEST)):
            raise FileNotFoundError(nothing_in(folder))
        else:
            self._resume = False  # mmengine would look in the work dir, where a copy names the original's files
            return
        check_weights(self.model, state_dict_of(checkpoint), self._load_from)
        self._anyway = anyway
        if isinstance(then := checkpoint['meta'].get(SAMPLES), dict):
            self._samples_then = then  # compared when those of now are read
        else:
            self.logger.warning(f'{self._load_from} does not say its samples, as older ones: they are not compared')
        changes = changes_of(checkpoint['meta'].get(SETTINGS), self._settings())
        if changes is None:
            self.logger.warning(f'{self._load_from} does not say its settings, as older ones: they are not compared')
        else:
            self._changed = self._admit(changes)

    def _admit(self, changes: Sequence[Change], what: str = 'settings') -> list[Change]:
        """Say what differs from the training that goes on; returns what makes another one of it."""
        decisive = [change for change in changes if change.is_decisive]
        for change in changes:
            self.logger.log(WARNING if change in decisive else INFO, f'changed since {self._load_from}: {change}')
        if decisive and not self._anyway:
            more = f', and {len(decisive) - 3} more' if len(decisive) > 3 else ''
            raise ValueError(
                f'{self._load_from} is of a training with other {what}: {"; ".join(map(str, decisive[:3]))}{more}. '
                'Go on with those of then, train in another work dir, or let the new ones apply from here on with '
                '--resume-anyway'
            )
        return decisive

    def _settings(self) -> str:
        return settings_as_json(self.cfg, self.world_size)

    @cached_property
    def _samples(self) -> dict[str, str]:
        """Of each loop, see :func:`samples_of`."""
        loops = dict(train=self.train_loop, val=self.val_loop)
        return {name: samples_of(loop.dataloader.dataset) for name, loop in loops.items() if loop is not None}

    def _newest(self, candidates: list[Path]) -> tuple[str, dict]:
        """The newest one that is whole, and what it holds."""
        passed = []
        for path in newest_first(candidates):
            try:
                require_intact(path)
                return str(path), self._read(str(path))
            except ValueError as error:
                passed.append(error)
                self.logger.warning(f'passed over: {error}')
        if len(candidates) == 1 and passed:
            raise passed[0]
        names = ', '.join(path.name for path in candidates)
        raise ValueError(
            f'{self.checkpoint_folder}: nothing to resume, as there is no whole checkpoint among {names}. Remove them '
            'to begin anew'
        )

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints are written: the work dir, or the folder of its name in the ``out_dir`` of the hook."""
        for hook in self.hooks:
            if isinstance(hook, CheckpointHook) and hook.out_dir not in (None, self.work_dir):
                # once the training has begun, out_dir of the hook is the folder itself
                return getattr(hook, 'folder', Path(hook.out_dir, Path(self.work_dir).name))
        return Path(self.work_dir)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """mmengine's; hooks find in ``resumed`` what the training goes on from.

        mmengine takes the learning rate, weight decay, ... and the schedule from the checkpoint, whatever the config
        says now. Where optimizer, schedule or data were changed, the config's hold: of the optimizer, its moments stay
        where it is of the same kind; the schedule is where it would be had it been this one from the start.
        """
        if any(change.key.split('.')[0] in _RATES for change in self._changed):
            self._resume_with_new_rates(filename)
        else:
            super().resume(filename, *args, **kwargs)
        self.resumed = Path(filename)

    def _resume_with_new_rates(self, filename: str) -> None:
        groups = self.optim_wrapper.param_groups
        rates = [{key: value for key, value in group.items() if key != 'params'} for group in groups]
        of_then, of_now = self._read(filename, mapped=True)['optimizer'], self.optim_wrapper.state_dict()
        sizes = [[len(group['params']) for group in state['param_groups']] for state in (of_then, of_now)]
        kept = sizes[0] == sizes[1] and 'optim_wrapper.optimizer.type' not in {one.key for one in self._changed}
        super().resume(filename, resume_optimizer=kept, resume_param_scheduler=False)
        for group, new in zip(self.optim_wrapper.param_groups, rates, strict=True):
            group.update(new)
        schedulers = self.param_schedulers or []
        steps, epochs = self.iter, self.epoch
        for step in range(steps):
            _step(schedulers, by_epoch=False)
            if (step + 1) * epochs % steps < epochs:  # an epoch ends
                _step(schedulers, by_epoch=True)
        self.logger.warning(
            f'the settings of the optimizer and the schedule are those of the config now: learning rate '
            f'{self.optim_wrapper.param_groups[0]["lr"]:.3g}, at step {steps}; the moments of the optimizer '
            f'{"are kept" if kept else "begin anew"}'
        )

    @master_only
    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, meta: dict | None = None, **kwargs: Any) -> None:
        """mmengine's, whole or not at all: what is there under this name stays until the new one is on the disk.

        Raises:
            OSError: the disk is full, or may not be written to; nothing is lost.
        """
        meta = {**(meta or {}), SETTINGS: self._settings(), SAMPLES: self._samples}
        try:
            with whole_file(Path(out_dir, filename)) as part:
                super().save_checkpoint(out_dir, part.name, *args, meta=meta, **kwargs)
        except OSError as error:
            if error.errno not in (*NO_ROOM, *NO_RIGHT):
                raise
            needed = _bytes([self.model.state_dict(), self.optim_wrapper.state_dict()]) / 1e6
            said = f'{out_dir}: {filename} was not written ({error.strerror}); it needs up to {needed:.3g} MB'
            raise OSError(error.errno, said) from error

    def load_checkpoint(
        self,
        filename: str,
        map_location: str | Callable = 'cpu',
        strict: bool = True,
        revise_keys: list | None = None,
    ) -> dict:
        """Read a training's checkpoint and load its weights; ``resume`` loads the rest.

        ``map_location`` and ``revise_keys`` are mmengine's and not needed: everything is copied to where it belongs.

        Raises:
            FileNotFoundError, ValueError: see :meth:`choose_resumed`.
        """
        checkpoint = self._read(filename)
        if any(change.key.split('.')[0] == 'randomness' for change in self._changed):
            checkpoint['meta'].pop('seed', None)  # mmengine would go on with the one of then
        if any(change.key.startswith(('batch_samples', 'train_dataloader')) for change in self._changed):
            self._count_steps_anew(checkpoint['meta'])
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        unwrap(self.model).load_state_dict(state_dict_of(checkpoint), strict=strict)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _count_steps_anew(self, meta: dict) -> None:
        """Have a checkpoint say how many steps of this training its epochs are: the schedule goes by them."""
        if isinstance(self.train_loop, loops.EpochBasedTrainLoop):
            meta['iter'] = self.train_loop.steps_of(meta['epoch'], meta['samples'])

    def _read(self, filename: str, mapped: bool = False) -> dict:
        return training_state(read_checkpoint(filename, mapped), filename, self.checkpoint_folder)


_RATES = ('auto_scale_lr', 'batch_samples', 'optim_wrapper', 'param_scheduler', 'train_dataloader')
"""Parts of a config on which the learning rate depends, or the length of its schedule."""


def _step(schedulers: list, by_epoch: bool) -> None:
    for scheduler in schedulers:
        if scheduler.by_epoch == by_epoch:
            scheduler.step()


def _bytes(states: Any) -> int:
    """Of all tensors."""
    if isinstance(states, torch.Tensor):
        return states.nbytes
    if isinstance(states, dict):
        states = list(states.values())
    return sum(map(_bytes, states)) if isinstance(states, (list, tuple)) else 0
