"""Indexes that were made once are kept, by the contents of the annotation files."""

import hashlib
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from .index import SharedIndex, is_in_use, write_index
from .records import Record

_FORM = 3  # of the columns; another number makes every file be read anew
_UNUSED_DAYS, _UNFINISHED_DAYS = 60, 1


def open_index(source: Path, files: Sequence[Path], read: Callable[[], Iterable[Record]]) -> SharedIndex:
    """The index of these files: as it was kept when the same bytes were read before, or read and kept now.

    It is kept in ``$MGFE_RIS_CACHE``, else in ``mgfe_ris`` of ``$XDG_CACHE_HOME`` or ``~/.cache``, for as long as it is
    used every two months. Where nothing can be written there, others may write there, or there is no home, it lies in a
    temporary folder and goes with the index.

    Args:
        source: what errors name.
        files: all that ``read`` reads.
        read: yields the records.

    Raises:
        ValueError, OSError: what ``read`` and :func:`mgfe_ris.datasets.index.write_index` raise; nothing is kept then.
    """
    with suppress(OSError):  # no such folder can be made, or it is full: what the files lack shows again below
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _require_own(folder)
        return _kept_index(folder / _key(files), source, files, read)
    return SharedIndex(_written(Path(tempfile.gettempdir()), source, read), owner=True)


def cache_folder() -> Path:
    """Where indexes are kept.

    Raises:
        FileNotFoundError: in the home, and the user has none: a container's often do not.
    """
    caches = os.environ.get('XDG_CACHE_HOME') or '~/.cache'
    try:
        return Path(os.environ.get('MGFE_RIS_CACHE') or f'{caches}/mgfe_ris').expanduser() / 'indexes'
    except RuntimeError as error:
        raise FileNotFoundError(f'{caches}: {error}') from error


def _require_own(folder: Path) -> None:
    """What others may write says what they like of the same files; a word, and the index lies in a temporary folder.

    Raises:
        PermissionError: the folder is another user's, root's apart, or others may write into it.
    """
    about = folder.lstat()
    if hasattr(os, 'getuid') and (about.st_uid not in (os.getuid(), 0) or about.st_mode & 0o022):
        reason = f'{folder}: others may write there, so the cache is not used; chmod go-w, or set MGFE_RIS_CACHE'
        warnings.warn(reason, stacklevel=2)
        raise PermissionError(reason)


def _kept_index(place: Path, source: Path, files: Sequence[Path], read: Callable) -> SharedIndex:
    if os.path.lexists(place):
        _require_own(place)
        try:
            index = SharedIndex(place)
        except (OSError, ValueError):  # somebody removed a part, or the power went
            shutil.rmtree(place)
        else:
            with suppress(OSError):  # it may be another user's
                os.utime(place)  # for _remove_unused
            return index
    _remove_unused(place.parent)
    folder = _written(place.parent, source, read)
    if place.name != _key(files):  # they were changed while they were read
        return SharedIndex(folder, owner=True)
    try:
        folder.rename(place)
    except OSError:  # another process was first: it has read the same bytes
        shutil.rmtree(folder)
    return SharedIndex(place)


def _written(parent: Path, source: Path, read: Callable) -> Path:
    """A new folder with the index."""
    folder = Path(tempfile.mkdtemp(prefix='mgfe_ris_', dir=parent))
    try:
        write_index(folder, source, read())
        return folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _key(files: Sequence[Path]) -> str:
    """Of the files' bytes, so that a changed file is never taken for the one before."""
    digest = hashlib.sha256(str(_FORM).encode())
    for path in files:
        # a folder that datasets saved says the split, and the files in it are all called alike
        name = '/'.join(path.absolute().parts[-2:]) if path.suffix == '.arrow' else path.name
        digest.update(f'\0{name}\0{path.stat().st_size}\0'.encode())
        with open(path, 'rb') as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()[:32]


def _remove_unused(folder: Path) -> None:
    """Of our own making, and nothing else."""
    for path in folder.iterdir():
        kept, unfinished = re.fullmatch('[0-9a-f]{32}', path.name), path.name.startswith('mgfe_ris_')
        if kept or unfinished:
            with suppress(OSError):
                days = _UNUSED_DAYS if kept else _UNFINISHED_DAYS
                if time.time() - path.stat().st_mtime > days * 86400 and not is_in_use(path):
                    shutil.rmtree(path, ignore_errors=True)
