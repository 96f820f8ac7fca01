"""Checkpoints of a training: which one is the last, and what of it a training goes on from."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import HistoryBuffer, MMLogger

from ..checkpoint_files import LoggedNumbers, read_checkpoint
from ..output_files import parts_in, whole_file

LAST = 'last_checkpoint'
"""The file in which mmengine writes the name of the last one."""
BEST = 'best_*.pth'
"""Weights alone, of the best validation so far."""
OUTDATED = 'outdated'
"""What mmengine's message hub holds: names of checkpoints in whose place the one that holds it was written."""
STARTED = 'started'
"""Likewise: when the training began, in seconds; what goes on keeps it."""
VALIDATED = 'last_validation'
"""Likewise: the epoch, or step, after which it was last validated."""
SETTINGS = 'settings'
"""In ``meta``: the config that the checkpoint was written with, see ``settings_as_json``."""
SAMPLES = 'samples_of'
"""In ``meta``: of each loop, what it was trained or validated on, see ``samples_of``."""
_NUMBERED = r'(?:epoch|iter)_\d+\.pth'
_REPLACED = rf'{_NUMBERED}|best_[^/\\]+\.pth'
_WRITTEN = rf'{_REPLACED}|{LAST}|(?:started_\d+_\d+|config)\.json|[^/\\]+\.(?:py|ya?ml)'
"""Names of what a training writes."""


def name_last(work_dir: str | Path, path: str | Path) -> None:
    """Say in a work dir which checkpoint is the last one; in the first of several processes."""
    if is_main_process():
        with whole_file(Path(work_dir, LAST)) as part:
            part.write_text(str(path), encoding='utf-8')


def last_checkpoint_in(folder: str | Path) -> Path:
    """The last checkpoint that training left in a folder, which may have been moved or copied since.

    The whole one with the most epochs and steps of those that :func:`resumable_in` finds; a single one is not read.

    Raises:
        FileNotFoundError: there is none.
        ValueError: none of several is whole.
    """
    found = resumable_in(folder)
    if not found:
        raise FileNotFoundError(nothing_in(folder))
    if len(found) == 1:
        return found[0]
    newest = next(newest_first(found), None)
    if newest is None:
        raise ValueError(f'{folder}: none of {", ".join(path.name for path in found)} is a whole checkpoint')
    return newest


def resumable_in(folder: str | Path) -> list[Path]:
    """Every ``epoch_N.pth`` and ``iter_N.pth`` in a folder, whole or not, and what ``last_checkpoint`` names there."""
    folder = Path(folder)
    names = {path.name for path in folder.glob('*.pth') if re.fullmatch(_NUMBERED, path.name)}
    named = _last_named_in(folder)
    if named.endswith('.pth') and not named.startswith('best_'):
        names.add(named)
    return [folder / name for name in sorted(names, key=_number) if (folder / name).is_file()]


def _last_named_in(folder: Path) -> str:
    # training writes the whole path; the folder's part of it is where the folder was then, on Windows for all we know
    path = folder / LAST
    return PureWindowsPath(path.read_text(encoding='utf-8', errors='replace').strip()).name if path.is_file() else ''


def _number(name: str) -> tuple[int, str]:
    return int(re.findall(r'\d+', name)[-1]) if re.search(r'\d', name) else 0, name


def nothing_in(folder: str | Path) -> str:
    """Why a training cannot go on in a folder without a checkpoint that it could go on from."""
    folder = Path(folder)
    if best := sorted(path.name for path in folder.glob(BEST)):
        return (
            f'{folder}: of a training there is {", ".join(best)} only, weights without the state of the optimizer, and '
            f'nothing to resume. Train from them in another work dir, with load_from={folder / best[0]}'
        )
    reason = f', though {LAST} names it' if (named := _last_named_in(folder)) else ', and no epoch_N.pth or iter_N.pth'
    return f'{folder / (named or LAST)}: no such file{reason}'


def newest_first(paths: Iterable[Path]) -> Iterator[Path]:
    """The whole ones of these checkpoints, those of most steps first; the others are named in the log.

    What another training left in the folder comes after what the last one wrote there. Cheap where files are large:
    what they hold beside the tensors is read.
    """
    places = {}
    for path in paths:
        try:
            places[path] = (*_place(path), _number(path.name))
        except ValueError as error:
            MMLogger.get_current_instance().warning(f'passed over: {error}')
    yield from sorted(places, key=lambda path: places[path], reverse=True)


def _place(path: Path) -> tuple[float, int, int]:
    """When its training began, and how many epochs and steps it did; 0 where a whole file does not say.

    Epochs count first: with larger batches from some epoch on, fewer steps are more.
    """
    checkpoint = read_checkpoint(path, mapped=True)
    try:
        began, meta = checkpoint['message_hub']['runtime_info'].get(STARTED, 0), checkpoint['meta']
        return float(began), int(meta.get('epoch', 0)), int(meta['iter'])
    except (AttributeError, KeyError, TypeError, ValueError):
        return 0.0, 0, 0


def best_in(folder: str | Path) -> Path | None:
    """The whole one of ``best_*.pth``; of several, the one of most steps, since a training that is killed leaves the
    best of before beside the new one.

    Raises:
        FileNotFoundError: several metrics, or other code, have a best one each.
    """
    found = sorted(Path(folder).glob(BEST))
    if len({re.sub(_OF_STEP, '', path.name) for path in found}) > 1:
        raise FileNotFoundError(
            f'{folder}: expected one file {BEST}, found {[path.name for path in found]}; name the one you mean'
        )
    return next(newest_first(found), None)


_OF_STEP = r'_(epoch|iter)_\d+\.pth$'


_META = ('epoch', 'iter', 'samples', 'seed', 'dataset_meta', SETTINGS, SAMPLES)


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
        'meta': {key: meta[key] for key in _META if key in meta},
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
            if path.is_file() and (key == 'last_ckpt' or path.match(BEST)):
                found[key] = str(path)
        elif key == 'keep_ckpt_ids':
            found[key] = [number for number in value if isinstance(number, int)]
        elif key == OUTDATED:
            found[key] = [name for name in value if isinstance(name, str) and re.fullmatch(_REPLACED, name)]
        elif key in (STARTED, VALIDATED):
            found[key] = float(value) if key == STARTED else int(value)
        else:
            found[key] = value
    return found


def remove_parts(folder: str | Path) -> None:
    """What trainings that were killed left half written of their checkpoints, and nothing else."""
    for path in parts_in(folder, _WRITTEN):
        path.unlink(missing_ok=True)
