"""Files that appear whole or not at all, in folders that are looked at before the work."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory, TemporaryFile


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; at the end, what was written takes the place of ``path``, and is on the disk.

    After an error, ``path`` is as it was. Missing folders are made. Who is killed leaves a file of :func:`parts_in`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # several processes may write the same, and those of several machines have the same numbers
    part = path.with_name(f'.{path.name}.{token_hex(4)}.part')
    try:
        yield part
        _sync(part)  # else a machine that fails may have the new name, and not yet the bytes
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == 'posix':  # Windows opens no folders
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot, such as some over a network
            raise
    finally:
        os.close(descriptor)


def parts_in(folder: str | Path, name: str) -> list[Path]:
    """What processes that were killed left of files whose names match ``name``, a regular expression, whole; and what
    those that run are writing at this moment."""
    part = re.compile(rf'\.(?:{name})\.[0-9a-f]{{8}}\.part')
    return [path for path in Path(folder).glob('.*.part') if part.fullmatch(path.name)]


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The ``errno`` of a disk that is full, of a user's share of it, and of a file that may not grow further."""
NO_RIGHT = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Of a folder that may not be written to."""


def nearest(path: str | Path) -> Path:
    """The path itself, or the first of the folders above it that is there; a broken link is there, too."""
    path = Path(path)
    return next(one for one in (path, *path.absolute().parents) if os.path.lexists(one))


def require_folder(option: str, folder: str | Path) -> None:
    """Whether files can be written into a folder, which need not be there yet; nothing is made.

    Raises:
        ValueError: a file stands in its place, or in that of a folder above it.
        OSError: nothing can be written there.
    """
    there = nearest(folder)
    if not there.is_dir():
        raise ValueError(f'{option} {folder}: {there} is a file; name a folder')
    try:
        # rather than the permissions, which say little about other users' disks, and of root nothing
        with TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(f'{option} {folder}: nothing can be written to {there} ({error.strerror})') from error


def require_file(option: str, path: str | Path) -> None:
    """Whether a file can be written, or written anew, under this path; nothing is made.

    Raises:
        ValueError: it is a folder, or a file stands in the place of a folder above it.
        OSError: nothing can be written there.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f'{option} {path} is a folder; name a file')
    require_folder(f'{option} {path}: its folder', path.parent)


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` when all is well."""
    target = require_empty(folder).resolve()  # . has no name
    missing = [parent for parent in target.parents if not parent.exists()]
    try:
        with _beside(target) as place:
            part = Path(place, target.name)
            part.mkdir()
            yield part
            part.rename(target)
    except BaseException:
        for parent in missing:  # deepest first
            if parent.is_dir():
                parent.rmdir()
        raise


def _beside(target: Path) -> TemporaryDirectory:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return TemporaryDirectory(dir=target.parent)
    except OSError as error:  # it names what nobody asked for
        raise OSError(f'{target}: this folder cannot be made ({error.strerror})') from error


def require_empty(folder: str | Path) -> Path:
    """The path of a folder that is not there, or empty."""
    folder = Path(folder)
    if folder.is_file():
        raise FileExistsError(f'{folder} is a file; name a folder')
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty; name another folder, or delete what is there')
    return folder
