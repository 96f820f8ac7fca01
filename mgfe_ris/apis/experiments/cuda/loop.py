"""Whether a training waits for the device between two logs: CUDA's own debug mode raises an error where it does."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

from ....datasets.synthetic import write_refshapes
from ....engine import build_runner
from ....structures import gives_scores
from ...config import load_config
from ..precision import use_mixed_precision
from ..small_models import SMALL_SWIN, SMALLER_TINY, Options
from .bench import NEEDS_CUDA, Bench, build_small, size_of, small_batch
from .plan import Item, Skipped

SECTION = 'waiting'
WARM_UP = 2
"""Steps in which what follows from the photos' size alone is made."""


def loop_items(bench: Bench) -> Iterator[Item]:
    """Trainings by mmengine's runner, hooks and loader included; and steps of every family."""
    trainings = (('mgfe-ris_swin-base_refcoco', SMALL_SWIN), ('mgfe-ris_tiny_refshapes', SMALLER_TINY))
    for config, options in trainings[1 if bench.small else 0 :]:
        for amp in (True,) if bench.small else (False, True):
            name = f'training of {config}' + ', bf16' * amp
            yield Item(SECTION, name, partial(train_without_waiting, bench, config, options, amp), most=120)
    for name in list(bench.families())[: 1 if bench.small else None]:
        yield Item(SECTION, f'steps of {name}', partial(step_without_waiting, bench, name), later=1, most=60)


def step_without_waiting(bench: Bench, name: str, steps: int = 3) -> Mapping[str, Any]:
    """A row: ``steps``, in which the model's own training step did not wait."""
    config, options = bench.families()[name]
    model = build_small(config, options).to(bench.device).train()
    if not gives_scores(model):
        raise Skipped('its outlines are traced on the CPU, for which it waits')
    optim = build_optim_wrapper(model, model.cfg.optim_wrapper)
    _drop_norm(optim)
    batch = small_batch(size_of(config))
    for step in range(WARM_UP + steps):
        with waiting_forbidden(bench.cuda and step >= WARM_UP):
            model.train_step(batch, optim)
    return _row(bench, steps)


def _drop_norm(optim: Any) -> None:
    """Of clipped gradients, which mmengine reads at each step; in a training, a hook of ours takes it."""
    clip = optim.clip_func if optim.clip_grad_kwargs else None
    if clip:

        def clip_alone(*args: Any, **kwargs: Any) -> None:
            clip(*args, **kwargs)

        optim.clip_func = clip_alone


def train_without_waiting(bench: Bench, config: str, options: Options, amp: bool) -> Mapping[str, Any]:
    """A row: ``steps`` of a training on drawn photos, those that log left out, in which nothing waited."""
    write_refshapes(bench.scratch / 'data', 'refshapes', images=20, seed=0, size=64, progress=False)
    cfg = load_config(config, {**options, **_on_drawn_photos(bench.scratch)}, from_scratch=True)
    for step in cfg.train_dataloader.dataset.pipeline:
        if step.type == 'Resize':
            step.scale = (64, 64)
    cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    cfg.test_dataloader = cfg.test_cfg = cfg.test_evaluator = None
    del cfg.default_hooks.pictures  # of a validation
    if amp:
        use_mixed_precision(cfg, 'bf16')
    runner = build_runner(cfg)
    MMLogger.get_current_instance().setLevel('ERROR')
    hook = _NoWaiting(bench.cuda)
    runner.register_hook(hook, priority='LOWEST')
    try:
        runner.train()
    finally:
        hook.forbid(False)
    return _row(bench, hook.steps)


def _on_drawn_photos(scratch: Path) -> Options:
    loader = dict(num_workers=0, persistent_workers=False, batch_size=2)
    return {
        'data_root': str(scratch / 'data'),
        'train_dataloader': loader,
        'train_dataloader.dataset': dict(ann_folder='refshapes', split_by='unc', split='train'),
        'work_dir': str(scratch / 'work'),
        'train_cfg.max_epochs': 1,
        'default_hooks.logger.interval': 1000,
        'log_level': 'ERROR',
        'visualizer.vis_backends': [dict(type='LocalVisBackend')],
    }


def _row(bench: Bench, steps: int) -> Mapping[str, Any]:
    if not bench.cuda:
        raise Skipped(f'{NEEDS_CUDA}; {steps} steps ran')
    return dict(steps=steps)


def forbid_waiting(forbid: bool) -> None:
    torch.cuda.set_sync_debug_mode('error' if forbid else 'default')


@contextmanager
def waiting_forbidden(forbid: bool = True) -> Iterator[None]:
    if forbid:
        forbid_waiting(True)
    try:
        yield
    finally:
        if forbid:
            forbid_waiting(False)


class _NoWaiting(Hook):
    """Forbids waiting from after the other hooks' beginning of a step to after their end of it."""

    def __init__(self, cuda: bool):
        self.cuda = cuda
        self.steps = 0

    def forbid(self, forbid: bool) -> None:
        if self.cuda:
            forbid_waiting(forbid)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        logs = self.end_of_epoch(runner.train_dataloader, batch_idx)
        self._watched = batch_idx >= WARM_UP and not logs
        self.forbid(self._watched)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self.forbid(False)
        self.steps += self._watched
