"""The names of files in annotations, from anywhere and so not to be trusted -> files below the data root."""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any


def check_name(name: Any, may_be_absolute: bool = False) -> str:
    """The name of a file inside of a folder, in one spelling: ``./a//b.jpg`` is ``a/b.jpg``.

    Args:
        may_be_absolute: for those that :class:`FileFinder` looks up, which knows the folders.

    Raises:
        ValueError: a name that climbs out of its folder, or that no disk takes.
    """
    if not isinstance(name, str):
        raise ValueError(f'the name of a file must be a string; got {str(name)[:80]!r}')
    path = _slashed(name)
    outside = path.parts in ((), ('/',)) or '..' in path.parts or re.match('[A-Za-z]:', name)
    if outside or '\0' in name or (path.is_absolute() and not (may_be_absolute and name.startswith('/'))):
        raise ValueError(f'{name[:80]!r} is no file name inside of a folder; names are relative to the photos')
    parts = path.parts
    if len(name.encode()) > 1024 or max(len(part.encode()) for part in parts) > 255:
        raise ValueError(f'{name[:80]!r} is too long for the name of a file')
    return str(PurePosixPath(name))


def kinship(name: str) -> str:
    """Equal for names that may mean one photo: the last part, without what exports append to COCO's names."""
    last = _slashed(name).name
    return _uncounted(last) or last


class FileFinder:
    """Finds the files that annotations name.

    A name is taken literally first, below the photos' folder. Where there is no such file, these are tried: with ``/``
    for Windows' ``\\``, below the data root, and for COCO's photos without the folders that exports put before a name,
    in the folders of COCO, and without the number of an object after it (``COCO_train2014_000000000009_1.jpg``). The
    last one never where files with such numbers are there, or where it is another photo that has a name of its own in
    the annotations.

    Args:
        data_root, photos: folders; a file is looked for inside of them alone. (A link there may lead elsewhere.)
        names: gives those of all photos in the annotations.
    """

    def __init__(self, data_root: str | Path, photos: str | Path, names: Callable[[], Iterable[str]] = tuple):
        self.roots = [Path(photos), Path(data_root)]
        self.names = names

    def literal(self, name: str) -> Path:
        """Where the file should lie.

        Raises:
            ValueError: an absolute name outside of the folders.
        """
        if not name.startswith('/'):
            return self.roots[0] / name
        folders = [folder for root in self.roots for folder in (os.path.abspath(root), os.path.realpath(root))]
        if any(PurePosixPath(name).is_relative_to(folder) for folder in folders):
            return Path(name)
        raise ValueError(
            f'{name!r} lies outside of data_root ({self.roots[1]}) and of the photos ({self.roots[0]}). Set data_root '
            'to the folder that holds it, or write names relative to img_folder'
        )

    def photo(self, name: str) -> Path:
        """The photo of that name; where there is none, the place where it should lie."""
        literal = self.literal(name)
        return literal if literal.is_file() else _first_file(self._photo_spellings(name), literal)

    def mask(self, name: str) -> Path:
        """The PNG of that name, which may lie beside the folder of photos, too."""
        literal = self.literal(name)
        return literal if literal.is_file() else _first_file(self._spellings(name), literal)

    def _spellings(self, name: str) -> Iterator[Path]:
        slashed = _slashed(name)
        if not slashed.is_absolute():
            yield from (root / spelling for root in self.roots for spelling in (name, slashed))

    def _photo_spellings(self, name: str) -> Iterator[Path]:
        yield from self._spellings(name)
        last = _slashed(name).name
        whole = _uncounted(last)
        if whole is None and _COCO.fullmatch(last):
            whole = last
        elif whole is None or self._counted_is_there or whole in self._last_parts:
            return
        yield from (self.roots[0] / whole, self.roots[0] / whole.split('_')[1] / whole)

    @cached_property
    def _last_parts(self) -> set[str]:
        return {_slashed(name).name for name in self.names()}

    @cached_property
    def _counted_is_there(self) -> bool:
        """Whether some photo with a number after COCO's name is there as it is written."""
        counted = (name for name in self.names() if _uncounted(_slashed(name).name))
        return any((self.roots[0] / name).is_file() for name in counted)


_COCO = re.compile(r'(COCO_(?:train|val|test)2014_\d{12})(_\d+)?\.jpg')


def _uncounted(last: str) -> str | None:
    """COCO's own name, of one with a number after it."""
    coco = _COCO.fullmatch(last)
    return f'{coco[1]}.jpg' if coco and coco[2] else None


def _slashed(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace('\\', '/'))


def _first_file(paths: Iterable[Path], otherwise: Path) -> Path:
    return next((path for path in paths if path.is_file()), otherwise)
