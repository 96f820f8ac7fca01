"""Training that goes on: a checkpoint is read safely, and nothing outside of the work dir is touched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.hooks import CheckpointHook
from mmengine.model import is_model_wrapper, revert_sync_batchnorm
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import MODEL_WRAPPERS
from torch import nn

from ..checkpoint_files import read_checkpoint
from ..models.checkpoints import state_dict_of
from .checkpoints import LAST, last_checkpoint_in, training_state
from .dealing import DealtBatches, is_dealt
from .launch import join_processes
from .weights import check_weights, unwrap

NO_CUDA = 'no CUDA: {} processes on the CPU, through gloo; norms are not synchronised'


class RISRunner(DealtBatches):
    """mmengine's runner, whose checkpoints are read by ``read_checkpoint``: mmengine's reader runs what they hold.

    A folder that was copied or moved goes on by itself: of the paths that a checkpoint names, only the names count.
    """

    _load_from: str | None
    optim_wrapper: Any
    param_schedulers: Any

    def setup_env(self, env_cfg: dict) -> None:
        """mmengine's, which takes a GPU for granted where several processes meet; see :func:`join_processes`."""
        if self.distributed and not is_distributed():
            join_processes(self.launcher, **env_cfg.get('dist_cfg', {}))
        super().setup_env(env_cfg)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """mmengine's, which puts each process's model on a GPU: without one, several processes share the cores."""
        if not self.distributed or torch.cuda.is_available() or is_model_wrapper(model):
            return super().wrap_model(model_wrapper_cfg, model)
        self.logger.info(NO_CUDA.format(self.world_size))
        wrapper: dict = dict(type='MMDistributedDataParallel', broadcast_buffers=False)
        wrapper['find_unused_parameters'] = self.cfg.get('find_unused_parameters', False)
        return MODEL_WRAPPERS.build({**wrapper, **(model_wrapper_cfg or {}), 'module': revert_sync_batchnorm(model)})

    def prepare_training(self) -> None:
        """Build what trains ahead of the training, so that what is wrong with the input shows before it starts.

        Raises:
            ValueError: fewer samples than one batch.
        """
        for loop in filter(None, (self.train_loop, self.val_loop)):  # reads the data sets
            samples = len(loop.dataloader.dataset)
            self.logger.info(f'{type(loop).__name__}: {samples} samples')
            if samples == 0 or (len(loop.dataloader) == 0 and not is_dealt(loop.dataloader)):
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
