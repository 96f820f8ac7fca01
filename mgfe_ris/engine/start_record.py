"""What a training was started with: a JSON file per start, in its work dir."""

import json
import re
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..data_parts import parts_of
from ..models.checkpoints import fingerprint
from ..output_files import whole_file
from ..profiling.machine import describe_machine
from .changed_settings import settings_as_json
from .weights import unwrap

_PACKAGES = {
    **{'mmengine': 'onedl-mmengine', 'mmcv': 'onedl-mmcv', 'mmseg': 'onedl-mmsegmentation'},
    **{'transformers': 'transformers', 'torchvision': 'torchvision'},
}
"""What they are called where they are installed from, if not by their own names."""


@HOOKS.register_module()
class StartRecordHook(Hook):
    """Writes ``started_<date>_<time>.json`` once a training is about to begin, or to go on.

    It holds the command, versions, the machine, the state of git, seed and number of processes, the config, and
    fingerprints: of the annotation files of each data set, and of the weights that the training starts from.
    """

    priority = 20  # after the hooks that load weights, ahead of the one that shares them out

    @master_only
    def before_train(self, runner: Runner) -> None:
        path = Path(runner.work_dir, f'started_{time.strftime("%Y%m%d_%H%M%S")}.json')
        with whole_file(path) as part:
            part.write_text(json.dumps(record_of(runner), indent=1), encoding='utf-8')


def record_of(runner: Runner) -> dict[str, Any]:
    """See :class:`StartRecordHook`."""
    model, resumed = unwrap(runner.model), getattr(runner, 'resumed', None)
    loops = dict(train=runner.train_loop, val=runner.val_loop)
    return dict(
        command=sys.argv,
        time=time.strftime('%Y-%m-%dT%H:%M:%S%z'),
        seed=runner.seed,
        processes=runner.world_size,
        resumed=None if resumed is None else dict(file=str(resumed), epoch=runner.epoch, iter=runner.iter),
        versions=dict(numpy=np.__version__, **{name: _version(name) for name in _PACKAGES}),
        machine=describe_machine(next(model.parameters()).device),
        cuda=torch.version.cuda,
        git=git_state(Path(__file__).parent),
        weights=fingerprint(model.state_dict()),
        data={name: data_of(loop.dataloader.dataset) for name, loop in loops.items() if loop is not None},
        config=json.loads(settings_as_json(runner.cfg, runner.world_size)),
    )


def _version(package: str) -> str | None:
    """Of a distribution of its own name, or of the one that we require in its place."""
    for name in (_PACKAGES[package], package, 'mmsegmentation' if package == 'mmseg' else package):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def data_of(dataset: Any) -> list[dict[str, Any]]:
    """Of each data set that it consists of: its kind, how many samples, and a hash of its annotation files.

    ``annotations`` is the name of the kept index, a hash of all bytes that it was read from; None, where none is kept.
    """
    found = []
    for part in parts_of(dataset):
        folder = getattr(getattr(part, 'index', None), 'folder', None)
        name = '' if folder is None else Path(folder).name
        found.append(
            dict(
                type=type(part).__name__,
                root=getattr(part, 'data_root', None),
                split=getattr(part, 'split', None),
                samples=len(part),
                annotations=name if re.fullmatch('[0-9a-f]{32}', name) else None,
            )
        )
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository that tracks a folder, and whether its files were changed since; None without one."""
    try:
        _git(folder, 'ls-files', '--error-unmatch', '.')  # a package that is installed below somebody's repository
        return dict(
            commit=_git(folder, 'rev-parse', 'HEAD'),
            dirty=bool(_git(folder, 'status', '--porcelain', '--untracked-files=no')),
        )
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *args: str) -> str:
    command = ['git', '-C', str(folder), *args]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
