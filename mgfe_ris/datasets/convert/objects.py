"""What all forms come to: an object of a photo, with its mask and what is said of it."""

import os
import posixpath
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..fields import whole_number
from ..masks import Part
from ..photo_files import photo_size

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')
SHORT_OUTLINES = 'outlines of less than three points'
_SPLITS = dict(train='train', training='train', val='val', valid='val', validation='val', dev='val', test='test')


class Object(NamedTuple):
    """An object of a photo."""

    photo: str
    """Its name, relative to the folder of photos."""
    size: tuple[int, int]
    """(height, width) of the photo in pixels."""
    parts: list[Part]
    """Of its mask, see :mod:`mgfe_ris.datasets.masks`."""
    sentences: list[str]
    where: str
    """In which file, for errors."""


class Shape(NamedTuple):
    """A part of an object, as it was drawn."""

    group: Any
    """Shapes of a photo with the same one are one object; None: an object of its own."""
    parts: list[Part]
    sentences: list[str]
    where: str


class Photos:
    """A folder of photos.

    Raises:
        FileNotFoundError: no such folder.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f'{folder}: no such folder of photos')
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for place, folders, files in os.walk(self.folder):
            folders.sort()
            for name in sorted(files):
                if Path(name).suffix.lower() in SUFFIXES and not name.startswith('.'):
                    self._by_name[name].append(Path(place, name).relative_to(self.folder).as_posix())
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name, paths in self._by_name.items():
            self._by_stem[Path(name).stem] += paths
        paths_of_all = (PurePosixPath(path) for paths in self._by_name.values() for path in paths)
        self._folders = {folder for path in paths_of_all for folder in path.parent.parts}
        self._claims: dict[str, tuple[str, str]] = {}

    def find(self, name: str, where: str) -> tuple[str, tuple[int, int]]:
        """The photo that a file of annotations calls ``name``: with folders of the machine that wrote it, with slashes
        of Windows, or without its suffix -> its name in the folder, (height, width) as it is shown.

        Raises:
            FileNotFoundError: there is none.
            ValueError: there are several of that name, it lies in a folder that contradicts, it was found under another
                name before, or it is not readable.
        """
        written, name = name, self._below(name)
        parts = PurePosixPath(name).parts
        last = parts[-1] if parts else ''
        found = self._by_name.get(last) or self._by_stem.get(last, [])
        # of several, the one that has most of the folders, too
        endings = ['/'.join(parts[begin:]) for begin in range(len(parts) - 1)]
        for ending in (name, *(f'/{ending}' for ending in endings)):
            if closer := [path for path in found if _is_at(path, ending)]:
                found = closer
                break
        if not found:
            raise FileNotFoundError(f'{where}: no photo {written!r} in {self.folder}')
        if len(found) > 1:
            raise ValueError(f'{where}: {written!r} may be {found[0]} or {found[1]} of {self.folder}')
        self._check_folders(parts[:-1], found[0], written, where)
        before, place = self._claims.setdefault(found[0], (name, where))
        if before != name:
            raise ValueError(
                f'{where}: {written!r} is found as {found[0]} of {self.folder}, and so is {before!r} of {place}: two '
                'names would be one photo; keep the photos in the folders that the annotations name'
            )
        return found[0], photo_size(self.folder / found[0])

    def _below(self, name: str) -> str:
        """With slashes, without detours; from the folder on, if that is where it leads."""
        name = posixpath.normpath(name.replace('\\', '/'))
        while name.startswith('../'):
            name = name[3:]
        root = os.path.abspath(self.folder).replace('\\', '/').rstrip('/') + '/'
        return name.removeprefix(root)

    def _check_folders(self, named: tuple[str, ...], photo: str, written: str, where: str) -> None:
        """Folders of another machine say nothing; of those that may be meant, none may be another than the photo's.

        Raises:
            ValueError: one is.
        """
        there = PurePosixPath(photo).parent.parts
        pairs = zip_longest(reversed(named), reversed(there))
        mine, its = next((pair for pair in pairs if pair[0] != pair[1]), (None, None))
        if mine and (_contradict(mine, its or '') or (mine in self._folders and mine not in there)):
            raise ValueError(
                f'{where}: no photo {written!r} in {self.folder}: {photo} has its name, but does not lie in {mine}/'
            )

    def check(self, name: str, size: tuple[Any, Any], where: str) -> tuple[str, tuple[int, int]]:
        """As :meth:`find`; a ``size`` (height, width) that the annotations say must be the photo's.

        Raises:
            ValueError: it is no number, or another; a photo that was turned or resized after the annotations.
        """
        photo, found = self.find(name, where)
        if None in size:
            return photo, found
        try:
            said = whole_number(size[0], 'height'), whole_number(size[1], 'width')
        except ValueError as error:
            raise ValueError(f'{where}: {error}') from error
        if said != found:
            raise ValueError(
                f'{where}: annotated at {size[1]} x {size[0]} pixels, but {photo} is shown at {found[1]} x {found[0]}: '
                'annotate this photo, or give the one that was annotated'
            )
        return photo, found


def _contradict(folder: str, other: str) -> bool:
    """Whether two names are of one kind: of splits, or those that differ by numbers alone."""
    words, others = (re.findall('[a-z]+|[0-9]+', name.lower()) for name in (folder, other))
    split, other_split = (next((_SPLITS[word] for word in found if word in _SPLITS), None) for found in (words, others))
    if split and other_split and split != other_split:
        return True
    same_text = re.sub('[0-9]+', '0', folder) == re.sub('[0-9]+', '0', other)
    return same_text and words != others


def _is_at(path: str, ending: str) -> bool:
    """Whether a photo's name is this one, or ends so, with or without its suffix."""
    names = (path, str(PurePosixPath(path).with_suffix('')))
    return any(f'/{name}'.endswith(ending) if ending.startswith('/') else name == ending for name in names)


def sentences_of(value: Any, where: str) -> list[str]:
    """A text, a line for each sentence, or a list of them -> sentences, each once.

    Raises:
        ValueError: something else.
    """
    found: list[str] = []
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):  # as RefCOCO has them
            item = next((item[key] for key in ('raw', 'sent', 'sentence', 'caption', 'text') if key in item), item)
        if item is None:
            continue
        if not isinstance(item, str):
            raise ValueError(f'{where}: a sentence must be text; got {str(item)[:60]!r}')
        found += [line.strip() for line in item.splitlines() if line.strip()]
    return list(dict.fromkeys(found))


def objects_of(shapes: Iterable[Shape], photo: str, size: tuple[int, int], skipped: Counter) -> Iterator[Object]:
    """Shapes of one photo -> its objects; those of a group are joined, those that nothing is said of counted."""
    groups: dict[Any, list[Shape]] = defaultdict(list)
    for number, shape in enumerate(shapes):
        groups[(number,) if shape.group is None else ('group', str(shape.group))].append(shape)
    for joined in groups.values():
        sentences = list(dict.fromkeys(text for shape in joined for text in shape.sentences))
        if sentences:
            parts = [part for shape in joined for part in shape.parts]
            yield Object(photo, size, parts, sentences, joined[0].where)
        else:
            skipped['objects without a sentence'] += 1
