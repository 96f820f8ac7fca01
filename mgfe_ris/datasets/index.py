"""Annotation files as columns on disk that all processes share: read once, small to pickle, and nothing is copied into
workers."""

import json
import os
import shutil
import weakref
from array import array
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import numpy as np

from .masks import check_parts, is_empty
from .readers import Record, pack_parts, unpack_parts

_NUMBERS = ('img_id', 'height', 'width', 'photo', 'ref_id', 'split', 'sent_id')
_ENDS = ('name_end', 'where_end', 'mask_end', 'raw_end', 'sent_end', 'sentence_end')
_BYTES = ('names', 'where', 'masks', 'raw', 'sent')


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
    img_id: np.ndarray
    height: np.ndarray
    width: np.ndarray
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
        if owner:
            weakref.finalize(self, _remove, folder, os.getpid())
        about = json.loads((folder / 'index.json').read_text(encoding='utf-8'))
        if not isinstance(about, dict) or about.keys() != {'splits', 'pngs', 'bytes'}:
            raise ValueError(f'{folder}: no index')
        self.splits, self.pngs = about['splits'], about['pngs']
        for name, size in about['bytes'].items():
            setattr(self, name, _mapped(folder / name, np.uint8 if name in _BYTES else np.int64, size))

    def __reduce__(self):
        return SharedIndex, (self.folder,)

    def __deepcopy__(self, memo: dict) -> 'SharedIndex':
        return self  # nothing of it changes, and the files go with the first one

    def __len__(self) -> int:
        return len(self.ref_id)

    @cached_property
    def sentence_start(self) -> np.ndarray:
        """Of each object, the number of its first sentence; ``sentence_end``: behind its last."""
        return np.concatenate([[0], self.sentence_end])[: len(self)]

    def size(self, photo: int) -> tuple[int, int]:
        """(height, width) of a photo in pixels; (0, 0): the files do not say."""
        return int(self.height[photo]), int(self.width[photo])

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
    numbers = {name: array('q') for name in (*_NUMBERS, *_ENDS)}
    photos: dict[str, int] = {}
    sizes: list[tuple[int, int]] = []
    splits: dict[str, int] = {}
    pngs = []
    with ExitStack() as stack:
        # not kept in memory: the masks are most of it
        files = {name: stack.enter_context(open(folder / name, 'wb')) for name in _BYTES}

        def write(name: str, end: str, text: bytes) -> None:
            files[name].write(text)
            numbers[end].append((numbers[end][-1] if numbers[end] else 0) + len(text))

        for number, record in enumerate(records):
            photo = photos.setdefault(record.file_name, len(photos))
            if photo == len(sizes):
                sizes.append(record.size)
                numbers['img_id'].append(record.img_id)
                write('names', 'name_end', record.file_name.encode())
            elif not any(sizes[photo]):
                sizes[photo] = record.size
            elif any(record.size) and record.size != sizes[photo]:
                raise ValueError(
                    f'{source}, {record.where}: {record.file_name} is said to be {record.size}, and before '
                    f'{sizes[photo]} (height, width)'
                )
            numbers['photo'].append(photo)
            numbers['ref_id'].append(record.ref_id)
            numbers['split'].append(splits.setdefault(record.split, len(splits)))
            write('where', 'where_end', record.where.encode())
            parts = record.parts
            if any(sizes[photo]):
                check_mask(parts, sizes[photo], f'{source}, {record.where}')
            write(
                'masks', 'mask_end', _NO_MASK if any(sizes[photo]) and is_empty(parts, *sizes[photo]) else record.mask
            )
            if any(isinstance(part, dict) and 'png' in part for part in parts):
                pngs.append(number)
            for item in record.sentences:
                numbers['sent_id'].append(item.sent_id)
                for key in ('raw', 'sent'):
                    text = getattr(item, key)
                    write(key, f'{key}_end', text.encode('utf-8', 'replace') if text.strip() else b'')
            numbers['sentence_end'].append(len(numbers['sent_id']))
    for height, width in sizes:
        numbers['height'].append(height)
        numbers['width'].append(width)
    for name, column in numbers.items():
        with open(folder / name, 'wb') as file:
            column.tofile(file)
    about = dict(splits=list(splits), pngs=pngs, bytes={path.name: path.stat().st_size for path in folder.iterdir()})
    (folder / 'index.json').write_text(json.dumps(about), encoding='utf-8')


def check_mask(parts: list, size: tuple[int, int], place: str) -> None:
    """:func:`mgfe_ris.datasets.masks.check_parts`, with the place in the error."""
    try:
        check_parts(parts, *size)
    except ValueError as error:
        raise ValueError(f'{place}: the mask: {error}') from error


_NO_MASK = pack_parts([])


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
