"""Annotation files as columns on disk that all processes share: read once, small to pickle, and nothing is copied into
workers."""

import json
import os
import shutil
import weakref
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import ModuleType

import numpy as np

from .file_names import kinship
from .masks import check_parts, is_empty
from .records import Record, is_blank, pack_parts, unpack_parts

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_NUMBERS = ('img_id', 'height', 'width', 'kin', 'inside', 'photo', 'ref_id', 'split', 'sent_id', 'sentence_end')
_TEXTS = dict(names='name_end', where='where_end', masks='mask_end', raw='raw_end', sent='sent_end')
"""Columns of bytes, and those of where each piece ends."""


class SharedIndex:
    """Read access to the columns of all splits; pickles as the name of a folder.

    ``len`` is the number of objects. The columns are mapped from files: numbers of photos, objects and sentences, and
    where each text ends. ``splits`` are the names of the splits.

    Args:
        folder: that :func:`write_index` wrote.
        owner: whether the folder goes with this object.

    Raises:
        OSError, ValueError: a file is missing, or of another size than it was written with.
    """

    splits: list[str]
    pngs: list[int]
    """Objects with a mask in a PNG."""
    reach: float
    """The largest coordinate of all polygons; of one beyond 100, if there is any; 0: there are no polygons."""
    img_id: np.ndarray
    height: np.ndarray
    width: np.ndarray
    kin: np.ndarray
    """Of each photo, the number of the first one whose name may mean the same."""
    inside: np.ndarray
    """Of each photo, 1 if its file is in the index's own folder, since it stood in the annotations."""
    photo: np.ndarray
    ref_id: np.ndarray
    split: np.ndarray
    sent_id: np.ndarray
    name_end: np.ndarray
    where_end: np.ndarray
    mask_end: np.ndarray
    raw_end: np.ndarray
    sent_end: np.ndarray
    sentence_end: np.ndarray
    names: np.ndarray
    where: np.ndarray
    masks: np.ndarray
    raw: np.ndarray
    sent: np.ndarray

    def __init__(self, folder: Path, owner: bool = False):
        self.folder = folder
        self.same: dict[int, int] = {}
        if owner:
            weakref.finalize(self, _remove, folder, os.getpid())
        self.file = open(folder / 'index.json', encoding='utf-8')  # noqa: SIM115
        if fcntl is not None:
            fcntl.flock(self.file, fcntl.LOCK_SH)  # until it is closed: it is in use, see is_in_use
        about = json.loads(self.file.read())
        if not isinstance(about, dict) or about.keys() != {'splits', 'pngs', 'photos', 'reach', 'bytes'}:
            raise ValueError(f'{folder}: no index')
        if about['photos'] and len(os.listdir(folder / _PHOTOS)) != about['photos']:
            raise ValueError(f'{folder}: it had {about["photos"]} photos')
        self.splits, self.pngs, self.reach = about['splits'], about['pngs'], about['reach']
        if about['bytes'].keys() != {*_NUMBERS, *_TEXTS, *_TEXTS.values()}:
            raise ValueError(f'{folder}: no index')
        for name, size in about['bytes'].items():
            setattr(self, name, _mapped(folder / name, np.uint8 if name in _TEXTS else np.int64, size))

    def __reduce__(self):
        return _opened, (self.folder, self.same)

    def __deepcopy__(self, memo: dict) -> 'SharedIndex':
        return self  # nothing of it changes, and the files go with the first one

    def __len__(self) -> int:
        return len(self.ref_id)

    @cached_property
    def sentence_start(self) -> np.ndarray:
        """Of each object, the number of its first sentence; ``sentence_end``: after its last."""
        return np.concatenate([[0], self.sentence_end])[: len(self)]

    def size(self, photo: int) -> tuple[int, int]:
        """(height, width) of a photo in pixels; (0, 0): the files do not say."""
        return int(self.height[photo]), int(self.width[photo])

    def photo_names(self) -> Iterator[str]:
        """Of all photos, in their order."""
        return map(self.photo_name, range(len(self.name_end)))

    def photo_inside(self, photo: int) -> Path | None:
        """The photo's file, if it stood in the annotations."""
        return self.folder / _PHOTOS / self.photo_name(photo) if self.inside[photo] else None

    def join_photos(self, same: dict[int, int]) -> None:
        """Photos that are one under several names get one number.

        Args:
            same: numbers -> those that take their place.
        """
        self.same = same
        if same:
            number = np.arange(len(self.name_end))
            number[list(same)] = list(same.values())
            self.photo = number[self.photo]

    def photo_name(self, photo: int) -> str:
        return _piece(self.names, self.name_end, photo).decode()

    def place(self, i: int) -> str:
        """Where object ``i`` stands in the files."""
        return _piece(self.where, self.where_end, i).decode()

    def parts(self, i: int) -> list:
        """Of the mask of object ``i``, see :mod:`mgfe_ris.datasets.masks`."""
        return unpack_parts(_piece(self.masks, self.mask_end, i))

    def without_mask(self) -> np.ndarray:
        """Of each object: whether its sentences have no target."""
        return np.diff(self.mask_end, prepend=0) == len(_NO_MASK)

    def text(self, s: int, key: str) -> str:
        return _piece(getattr(self, key), getattr(self, f'{key}_end'), s).decode()

    def spoken(self, key: str) -> np.ndarray:
        """Of each sentence: whether it says anything."""
        return np.diff(getattr(self, f'{key}_end'), prepend=0) > 0

    def sentences(self, i: int, key: str) -> list[int]:
        """Numbers of the sentences of object ``i`` that say anything."""
        ends = getattr(self, f'{key}_end')
        numbers = range(int(self.sentence_start[i]), int(self.sentence_end[i]))
        return [s for s in numbers if ends[s] > (ends[s - 1] if s else 0)]


def is_in_use(folder: Path) -> bool:
    """Whether a process has the index of this folder open, as far as this system tells."""
    if fcntl is None or not (folder / 'index.json').is_file():
        return False
    with open(folder / 'index.json', encoding='utf-8') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def write_index(folder: Path, source: Path, records: Iterable[Record]) -> None:
    """Write the columns into a folder.

    Args:
        folder: empty.
        source: what errors name.
        records: of all splits.

    Raises:
        ValueError: a mask that cannot be of its photo, see :func:`mgfe_ris.datasets.masks.check_parts`; two records
            that differ in the size of their photo.
    """
    with _Writer(folder) as writer:
        for record in records:
            writer.add(record, f'{source}, {record.where}')


class _Writer:
    """Appends to the columns of a folder; a context, after which they are whole."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.numbers = {name: array('q') for name in (*_NUMBERS, *_TEXTS.values())}
        self.photos: dict[str, int] = {}
        self.sizes: list[tuple[int, int]] = []
        self.splits: dict[str, int] = {}
        self.pngs: list[int] = []
        self.kin: dict[str, int] = {}
        self.kept = 0
        self.reach = 0.0

    def __enter__(self) -> '_Writer':
        # texts are not kept in memory: the masks are most of it
        with ExitStack() as stack:
            self.files = {name: stack.enter_context(open(self.folder / name, 'wb')) for name in _TEXTS}
            self.open = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.open.close()
        if kind is None:
            self._write_numbers()

    def add(self, record: Record, place: str) -> None:
        """``place``: what an error names."""
        photo, parts = self._photo(record, place), record.parts
        if any(isinstance(part, dict) and 'png' in part for part in parts):
            self.pngs.append(len(self.numbers['ref_id']))
        if self.reach <= 100:
            self.reach = max([self.reach, *(max(part) for part in parts if _is_outline(part))])
        self.numbers['photo'].append(photo)
        self.numbers['ref_id'].append(record.ref_id)
        self.numbers['split'].append(self.splits.setdefault(record.split, len(self.splits)))
        self._text('where', record.where.encode())
        size = self.sizes[photo]
        empty = any(size) and check_mask(parts, size, place)
        self._text('masks', _NO_MASK if empty else record.mask)
        for item in record.sentences:
            self.numbers['sent_id'].append(item.sent_id)
            for key, text in (('raw', item.raw), ('sent', item.sent)):
                self._text(key, b'' if is_blank(text) else text.encode('utf-8', 'replace'))
        self.numbers['sentence_end'].append(len(self.numbers['sent_id']))

    def _photo(self, record: Record, place: str) -> int:
        name, size = record.file_name, record.size
        photo = self.photos.setdefault(record.photo_key, len(self.photos))
        if photo == len(self.sizes):
            self.sizes.append(size)
            self.numbers['kin'].append(self.kin.setdefault(kinship(name), photo))
            self.numbers['inside'].append(record.photo is not None)
            if record.photo is not None:
                self._keep(name, record.photo)
            self.numbers['img_id'].append(record.img_id)
            self._text('names', name.encode())
        elif not any(before := self.sizes[photo]):
            self.sizes[photo] = size
        elif any(size) and size != before:
            raise ValueError(f'{place}: {name} is said to be {size}, and before {before} (height, width)')
        return photo

    def _keep(self, name: str, photo: bytes) -> None:
        (self.folder / _PHOTOS).mkdir(exist_ok=True)
        (self.folder / _PHOTOS / name).write_bytes(photo)
        self.kept += 1

    def _text(self, name: str, text: bytes) -> None:
        ends = self.numbers[_TEXTS[name]]
        self.files[name].write(text)
        ends.append((ends[-1] if ends else 0) + len(text))

    def _write_numbers(self) -> None:
        for height, width in self.sizes:
            self.numbers['height'].append(height)
            self.numbers['width'].append(width)
        for name, column in self.numbers.items():
            with open(self.folder / name, 'wb') as file:
                column.tofile(file)
        sizes = {path.name: path.stat().st_size for path in self.folder.iterdir() if path.is_file()}
        about = dict(splits=list(self.splits), pngs=self.pngs, photos=self.kept, reach=self.reach, bytes=sizes)
        (self.folder / 'index.json').write_text(json.dumps(about), encoding='utf-8')


def check_mask(parts: list, size: tuple[int, int], place: str) -> bool:
    """:func:`mgfe_ris.datasets.masks.check_parts`, with the place in the error -> whether the mask has no pixel."""
    try:
        check_parts(parts, *size)
    except ValueError as error:
        raise ValueError(f'{place}: the mask: {error}') from error
    return is_empty(parts, *size)


def _is_outline(part: list | dict) -> bool:
    return isinstance(part, list) and len(part) > 0 and all(type(x) in (int, float) and x < 1e9 for x in part)


_NO_MASK = pack_parts([])
_PHOTOS = 'photos'


def _opened(folder: Path, same: dict[int, int]) -> SharedIndex:
    index = SharedIndex(folder)
    index.join_photos(same)
    return index


def _mapped(path: Path, dtype: type, size: int) -> np.ndarray:
    if path.stat().st_size != size:
        raise ValueError(f'{path} has {path.stat().st_size} bytes; {size} were written')
    # an empty file cannot be mapped
    return np.memmap(path, dtype, 'r') if size else np.empty(0, dtype)


def _piece(data: np.ndarray, ends: np.ndarray, i: int) -> bytes:
    return data[int(ends[i - 1]) if i else 0 : int(ends[i])].tobytes()


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker's copy goes, the files stay
        shutil.rmtree(folder, ignore_errors=True)
