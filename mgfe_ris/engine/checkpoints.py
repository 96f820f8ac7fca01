"""Checkpoints of a training: which one is the last, and what of it a training goes on from."""

import re
from pathlib import Path, PureWindowsPath
from typing import Any

from mmengine.logging import HistoryBuffer

from ..checkpoint_files import LoggedNumbers

LAST = 'last_checkpoint'
"""The file in which mmengine writes the name of the last one."""


def last_checkpoint_in(folder: str | Path) -> Path:
    """The last checkpoint that training left in a folder, which may have been moved or copied since.

    The one that ``last_checkpoint`` names, by its name alone; where that is not there, the newest ``epoch_N.pth`` or
    ``iter_N.pth``.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = Path(folder)
    # training writes the whole path; the folder's part of it is where the folder was then, on Windows for all we know
    named = (folder / LAST).read_text(encoding='utf-8').strip() if (folder / LAST).is_file() else ''
    path = folder / PureWindowsPath(named).name
    if not path.is_file():
        numbered = [(int(n[1]), file) for file in folder.glob('*.pth') if (n := _NUMBERED.fullmatch(file.name))]
        if not numbered:
            reason = f', though {LAST} names it' if named else ', and no epoch_N.pth or iter_N.pth'
            raise FileNotFoundError(f'{path if named else folder / LAST}: no such file{reason}')
        path = max(numbered)[1]
    return path


_NUMBERED = re.compile(r'(?:epoch|iter)_(\d+)\.pth')


def training_state(checkpoint: Any, source: str | Path, folder: Path) -> dict:
    """What a training goes on from, out of a checkpoint of mmengine's runner.

    Args:
        checkpoint: as ``read_checkpoint`` gives it.
        source: what errors name.
        folder: of the training that goes on: paths in the checkpoint are taken as names in it, and left out where no
            such file is there.

    Raises:
        ValueError: weights alone, or a checkpoint of other code.
    """
    parts = {'meta', 'state_dict', 'message_hub', 'optimizer'}
    if not isinstance(checkpoint, dict) or not parts <= checkpoint.keys():
        raise ValueError(f'{source} holds weights only, and nothing to resume; start from it, without resume')
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    try:
        meta = dict(meta, epoch=int(meta['epoch']), iter=int(meta['iter']), samples=max(0, int(meta.get('samples', 0))))
        scalars, info, resumed = (dict(hub[name]) for name in ('log_scalars', 'runtime_info', 'resumed_keys'))
        info = _names_in(folder, info)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{source}: no checkpoint of a training of ours ({error!r})') from error
    scalars = {k: HistoryBuffer(v.values, v.counts) for k, v in scalars.items() if isinstance(v, LoggedNumbers)}
    known = scalars.keys() | info.keys()
    return {
        **checkpoint,
        # no config, which mmengine would run, and nothing else that it might read one day
        'meta': {key: meta[key] for key in ('epoch', 'iter', 'samples', 'seed', 'dataset_meta') if key in meta},
        'message_hub': dict(
            log_scalars=scalars,
            runtime_info=info,
            resumed_keys={key: value for key, value in resumed.items() if key in known},
        ),
    }


def _names_in(folder: Path, info: dict) -> dict:
    """mmengine deletes the best checkpoint of before, and old ones by their numbers: those in the folder, only."""
    found: dict[str, Any] = {}
    for key, value in info.items():
        if key == 'last_ckpt' or key.startswith('best_ckpt'):
            path = folder / PureWindowsPath(str(value)).name
            if path.is_file():
                found[key] = str(path)
        elif key == 'keep_ckpt_ids':
            found[key] = [number for number in value if isinstance(number, int)]
        else:
            found[key] = value
    return found
