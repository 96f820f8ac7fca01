"""Records as columns in files that all processes share: small to pickle, and nothing is copied into workers."""

import os
import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from .readers import Record, unpack_parts

_NUMBERS = ('img_id', 'height', 'width', 'photo', 'ref_id', 'sent_id')
_ENDS = ('name_end', 'mask_end', 'text_end', 'sentence_end')
_BYTES = ('names', 'masks', 'texts')


class SharedIndex:
    """Read access to what :func:`write_index` wrote; pickles as the name of a folder.

    ``len`` is the number of objects. The columns are mapped from files: numbers of photos, objects and sentences, and
    where each text ends.
    """

    img_id: np.ndarray
    height: np.ndarray
    width: np.ndarray
    photo: np.ndarray
    ref_id: np.ndarray
    sent_id: np.ndarray
    name_end: np.ndarray
    mask_end: np.ndarray
    text_end: np.ndarray
    sentence_end: np.ndarray
    names: np.ndarray
    masks: np.ndarray
    texts: np.ndarray

    def __init__(self, folder: Path, owner: bool = False):
        self.folder = folder
        if owner:
            weakref.finalize(self, _remove, folder, os.getpid())
        for name in (*_NUMBERS, *_ENDS):
            setattr(self, name, np.load(folder / f'{name}.npy', mmap_mode='r'))
        for name in _BYTES:
            path = folder / f'{name}.bin'
            # an empty file cannot be mapped
            empty = path.stat().st_size == 0
            setattr(self, name, np.empty(0, np.uint8) if empty else np.memmap(path, np.uint8, 'r'))

    def __reduce__(self):
        return SharedIndex, (self.folder,)

    def __deepcopy__(self, memo: dict) -> 'SharedIndex':
        return self  # nothing of it changes, and the files go with the first one

    def __len__(self) -> int:
        return len(self.ref_id)

    def num_sentences(self, i: int) -> int:
        return int(self.sentence_end[i] - self._first_sentence(i))

    def photo_name(self, photo: int) -> str:
        return _piece(self.names, self.name_end, photo).decode()

    def sample(self, i: int, speaker: int, sentence: int) -> dict:
        """Photo and mask of object ``i``; the sentence of that number of object ``speaker``, or all if it is -1."""
        photo = int(self.photo[i])
        first = self._first_sentence(speaker)
        chosen = range(first, int(self.sentence_end[speaker])) if sentence < 0 else [first + sentence]
        return dict(
            img_name=self.photo_name(photo),
            img_id=int(self.img_id[photo]),
            ref_id=int(self.ref_id[i]),
            height=int(self.height[photo]),
            width=int(self.width[photo]),
            segmentation=unpack_parts(_piece(self.masks, self.mask_end, i)),
            sentences=[_piece(self.texts, self.text_end, s).decode() for s in chosen],
            sent_ids=[int(self.sent_id[s]) for s in chosen],
        )

    def _first_sentence(self, i: int) -> int:
        return int(self.sentence_end[i - 1]) if i else 0


class Samples(Sequence):
    """Rows of (object, speaker, sentence), see :meth:`SharedIndex.sample`, as a sequence of dicts."""

    def __init__(self, index: SharedIndex, rows: np.ndarray | str):
        if not isinstance(rows, str):
            name = f'rows-{len(list(index.folder.glob("rows-*")))}.npy'
            np.save(index.folder / name, rows.astype(np.int32))
            rows = name
        self.shared, self.name = index, rows
        self.rows = np.load(index.folder / rows, mmap_mode='r')

    def __reduce__(self):
        return Samples, (self.shared, self.name)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        return self.shared.sample(*map(int, self.rows[i]))

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def write_index(records: Iterable[Record], sentence_key: str) -> SharedIndex:
    """Write columns into a temporary folder, which goes with the index that is returned.

    Args:
        records: every ``size`` known, at least one sentence each.
        sentence_key: ``raw`` or ``sent``, see :class:`Sentence`.
    """
    folder = Path(tempfile.mkdtemp(prefix='mgfe_ris_'))
    try:
        _write_columns(folder, records, sentence_key)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return SharedIndex(folder, owner=True)


def _write_columns(folder: Path, records: Iterable[Record], sentence_key: str) -> None:
    numbers = {name: array('q') for name in (*_NUMBERS, *_ENDS)}
    photos: dict[str, int] = {}
    name_end = mask_end = text_end = 0
    with ExitStack() as stack:
        # not kept in memory: the masks are most of it
        names, masks, texts = (stack.enter_context(open(folder / f'{name}.bin', 'wb')) for name in _BYTES)
        for record in records:
            if record.file_name not in photos:
                photos[record.file_name] = len(photos)
                for name, value in zip(('img_id', 'height', 'width'), (record.img_id, *record.size), strict=True):
                    numbers[name].append(value)
                name_end += names.write(record.file_name.encode())
                numbers['name_end'].append(name_end)
            numbers['photo'].append(photos[record.file_name])
            numbers['ref_id'].append(record.ref_id)
            mask_end += masks.write(record.mask)
            numbers['mask_end'].append(mask_end)
            for item in record.sentences:
                numbers['sent_id'].append(item.sent_id)
                text_end += texts.write(getattr(item, sentence_key).encode('utf-8', 'replace'))
                numbers['text_end'].append(text_end)
            numbers['sentence_end'].append(len(numbers['sent_id']))
    for name, column in numbers.items():
        np.save(folder / f'{name}.npy', np.frombuffer(column, np.int64))


def _piece(data: np.ndarray, ends: np.ndarray, i: int) -> bytes:
    return data[int(ends[i - 1]) if i else 0 : int(ends[i])].tobytes()


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker's copy goes, the files stay
        shutil.rmtree(folder, ignore_errors=True)
