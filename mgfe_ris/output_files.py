"""Files that appear whole or not at all, in folders that are looked at before the work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; at the end, what was written takes the place of ``path``.

    Behind an error, ``path`` is as it was. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # several processes may write the same, and those of several machines have the same numbers
    part = path.with_name(f'.{path.name}.{token_hex(4)}.part')
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


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
