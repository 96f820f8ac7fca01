"""Training that goes on: a checkpoint is read safely, and nothing outside of the work dir is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, is_distributed, sync_random_seed
from mmengine.hooks import CheckpointHook
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from ..checkpoint_files import read_checkpoint
from ..datasets.seeded import SeededDataset, SeededSampler
from ..models.checkpoints import state_dict_of
from . import loops
from .checkpoints import LAST, last_checkpoint_in, training_state
from .stopping import Stopped, StopRequest, keep_workers
from .weights import check_weights, unwrap


class RISRunner(Runner):
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

    def setup_env(self, env_cfg: dict) -> None:
        """mmengine's, which sets a CUDA device: without one, processes of torchrun speak through gloo."""
        if self.launcher == 'pytorch' and not torch.cuda.is_available() and not is_distributed():
            torch.distributed.init_process_group('gloo')
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """mmengine's, which puts each process's model on a GPU: without one, several processes share the cores."""
        if not self.distributed or torch.cuda.is_available() or model_wrapper_cfg is not None:
            return super().wrap_model(model_wrapper_cfg, model)
        self.logger.info(f'no CUDA: {self.world_size} processes on the CPU, through gloo; norms are not synchronised')
        return MMDistributedDataParallel(
            revert_sync_batchnorm(model),
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )

    def train(self) -> nn.Module:
        """Train.

        Raises:
            Stopped: SIGINT, SIGTERM, SIGUSR1 or SIGHUP asked for it; see :class:`StopRequest`.
        """
        self.stop = StopRequest()
        try:
            with self.stop.watch():
                return super().train()
        except Stopped:
            self.visualizer.close()  # what was logged of late is written
            raise

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's; its two loops are ours, which may stop behind any step."""
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
        loader = Runner.build_dataloader(settings, seed)
        keep_workers(loader)
        return loader

    def prepare_training(self) -> None:
        """Build what trains ahead of the training, so that what is wrong with the input shows before it starts.

        Raises:
            ValueError: fewer samples than one batch.
        """
        for loop in filter(None, (self.train_loop, self.val_loop)):  # reads the data sets
            samples = len(loop.dataloader.dataset)
            self.logger.info(f'{type(loop).__name__}: {samples} samples')
            if len(loop.dataloader) == 0:
                raise ValueError(f'fewer samples ({samples}) than one batch; lower batch_size')
        self.optim_wrapper = self.build_optim_wrapper(self.optim_wrapper)
        if self.param_schedulers is not None:
            self._compare_ends()
            if not (self.auto_scale_lr or {}).get('enable'):  # else they are built behind the rate's scaling
                self.param_schedulers = self.build_param_scheduler(self.param_schedulers)

    def _compare_ends(self) -> None:
        """Say where the learning rate's schedule ends before the training, or behind it."""
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

    def choose_resumed(self) -> None:
        """Find the checkpoint to resume from, if there is one: ``load_from`` of the config, else the last one.

        Raises:
            FileNotFoundError: the one that ``load_from`` names is not there, or none that ``last_checkpoint`` may mean.
            ValueError: it is no checkpoint of a training, or of another model.
        """
        folder = self.checkpoint_folder
        if self._load_from is None:
            if not (folder / LAST).is_file() and not any(folder.glob('*.pth')):
                self._resume = False  # mmengine would look in the work dir, where a copy names the original's files
                return
            self._load_from = str(last_checkpoint_in(folder))
        checkpoint = self._read(self._load_from)
        check_weights(self.model, state_dict_of(checkpoint), self._load_from)

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints are written: the work dir, or the folder of its name in the ``out_dir`` of the hook."""
        for hook in self.hooks:
            if isinstance(hook, CheckpointHook) and hook.out_dir not in (None, self.work_dir):
                return Path(hook.out_dir, Path(self.work_dir).name)
        return Path(self.work_dir)

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
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        unwrap(self.model).load_state_dict(state_dict_of(checkpoint), strict=strict)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def _read(self, filename: str) -> dict:
        return training_state(read_checkpoint(filename), filename, self.checkpoint_folder)
