"""Annotation files as columns on disk that all processes share: read once, small to pickle, and nothing is copied into
workers."""

import hashlib
import json
import os
import shutil
import tempfile
import time
import weakref
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from .masks import check_parts, is_empty
from .readers import Record, pack_parts, unpack_parts

_FORM = 1  # of the columns; another number makes every file be read anew
_UNUSED_DAYS = 60

_NUMBERS = ('img_id', 'height', 'width', 'photo', 'ref_id', 'split', 'sent_id')
_ENDS = ('name_end', 'mask_end', 'raw_end', 'sent_end', 'sentence_end')
_BYTES = ('names', 'masks', 'raw', 'sent')


class SharedIndex:
    """Read access to the columns of all splits; pickles as the name of a folder.

    ``len`` is the number of objects. The columns are mapped from files: numbers of photos, objects and sentences, and
    where each text ends. ``splits`` are the names of the splits.
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
    mask_end: np.ndarray
    raw_end: np.ndarray
    sent_end: np.ndarray
    sentence_end: np.ndarray
    names: np.ndarray
    masks: np.ndarray
    raw: np.ndarray
    sent: np.ndarray

    def __init__(self, folder: Path, owner: bool = False):
        self.folder = folder
        if owner:
            weakref.finalize(self, _remove, folder, os.getpid())
        for name, value in json.loads((folder / 'index.json').read_text(encoding='utf-8')).items():
            setattr(self, name, value)
        for name in (*_NUMBERS, *_ENDS):
            setattr(self, name, _mapped(folder / name, np.int64))
        for name in _BYTES:
            setattr(self, name, _mapped(folder / name, np.uint8))

    def __reduce__(self):
        return SharedIndex, (self.folder,)

    def __deepcopy__(self, memo: dict) -> 'SharedIndex':
        return self  # nothing of it changes, and the files go with the first one

    def __len__(self) -> int:
        return len(self.ref_id)

    def size(self, photo: int) -> tuple[int, int]:
        """(height, width) of a photo in pixels."""
        return int(self.height[photo]), int(self.width[photo])

    def photo_name(self, photo: int) -> str:
        return _piece(self.names, self.name_end, photo).decode()

    def parts(self, i: int) -> list:
        """Of the mask of object ``i``, see :mod:`mgfe_ris.datasets.masks`."""
        return unpack_parts(_piece(self.masks, self.mask_end, i))

    def without_mask(self) -> np.ndarray:
        """Of each object: whether its sentences have no target."""
        return np.diff(self.mask_end, prepend=0) == len(pack_parts([]))

    def text(self, s: int, key: str) -> str:
        return _piece(getattr(self, key), getattr(self, f'{key}_end'), s).decode()

    def spoken(self, i: int) -> range:
        """Numbers of all sentences of object ``i``."""
        return range(int(self.sentence_end[i - 1]) if i else 0, int(self.sentence_end[i]))

    def sentences(self, i: int, key: str) -> list[int]:
        """Those that are not empty."""
        ends = getattr(self, f'{key}_end')
        return [s for s in self.spoken(i) if ends[s] > (ends[s - 1] if s else 0)]


class Samples(Sequence):
    """Rows of (object, its sentences' owner, sentence or -1 for all) as a sequence of dicts, read when asked for.

    Args:
        index: of the annotation files.
        rows: see above.
        key: ``raw`` or ``sent``, see :class:`mgfe_ris.datasets.readers.Sentence`.
    """

    def __init__(self, index: SharedIndex, rows: np.ndarray, key: str):
        self._map(index, _kept(index.folder, rows.astype(np.int32)), key)

    def _map(self, index: SharedIndex, file: str, key: str) -> None:
        self.shared, self.file, self.key = index, file, key
        self.rows = _mapped(index.folder / file, np.int32).reshape(-1, 3)

    def __getstate__(self) -> tuple[SharedIndex, str, str]:
        return self.shared, self.file, self.key

    def __setstate__(self, state: tuple[SharedIndex, str, str]) -> None:
        self._map(*state)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        index = self.shared
        target, speaker, sentence = map(int, self.rows[i])
        photo = int(index.photo[target])
        chosen = index.sentences(speaker, self.key) if sentence < 0 else [sentence]
        return dict(
            img_name=index.photo_name(photo),
            img_id=int(index.img_id[photo]),
            ref_id=int(index.ref_id[target]),
            height=int(index.height[photo]),
            width=int(index.width[photo]),
            segmentation=index.parts(target),
            sentences=[index.text(s, self.key) for s in chosen],
            sent_ids=[int(index.sent_id[s]) for s in chosen],
        )

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def open_index(
    source: Path,
    files: Sequence[Path],
    read: Callable[[], Iterable[Record]],
    photo_size: Callable[[str], tuple[int, int]],
) -> SharedIndex:
    """The index of these files: as it was kept when the same bytes were read before, or read and kept now.

    It is kept in ``$MGFE_RIS_CACHE``, else in ``mgfe_ris`` of ``$XDG_CACHE_HOME`` or ``~/.cache``, for as long as it is
    used every two months. Where nothing can be written there, and where the files leave the sizes of photos to the
    photos, it lies in a temporary folder and goes with the index.

    Args:
        source: what errors name.
        files: all that ``read`` reads.
        read: yields the records.
        photo_size: name of a photo -> (height, width), for those whose size the files do not say; (0, 0) if there is no
            such photo.

    Raises:
        ValueError, OSError: what ``read`` and :func:`write_index` raise; nothing is kept then.
    """
    kept = _cache()
    if kept is None:
        folder = Path(tempfile.mkdtemp(prefix='mgfe_ris_'))
        _fill(folder, source, read, photo_size)
        return SharedIndex(folder, owner=True)
    place = kept / _key(files)
    if place.is_dir():
        try:
            index = SharedIndex(place)
            os.utime(place)  # for _remove_unused
            return index
        except (OSError, ValueError):  # somebody removed a part
            shutil.rmtree(place, ignore_errors=True)
    _remove_unused(kept)
    folder = Path(tempfile.mkdtemp(prefix='new-', dir=kept))
    if not _fill(folder, source, read, photo_size):
        return SharedIndex(folder, owner=True)
    with suppress(OSError):  # another process was first: it has read the same bytes
        folder.rename(place)
    shutil.rmtree(folder, ignore_errors=True)
    return SharedIndex(place)


def _cache() -> Path | None:
    caches = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    folder = Path(os.environ.get('MGFE_RIS_CACHE') or f'{caches}/mgfe_ris')
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _key(files: Sequence[Path]) -> str:
    """Of the files' bytes, so that a changed file is never taken for the one before."""
    digest = hashlib.sha256(str(_FORM).encode())
    for path in files:
        digest.update(f'\0{path.name}\0{path.stat().st_size}\0'.encode())
        with open(path, 'rb') as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()[:32]


def _remove_unused(kept: Path) -> None:
    for folder in kept.iterdir():
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _UNUSED_DAYS * 86400:
                shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, source: Path, read: Callable, photo_size: Callable) -> bool:
    try:
        return write_index(folder, source, read(), photo_size)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def write_index(
    folder: Path, source: Path, records: Iterable[Record], photo_size: Callable[[str], tuple[int, int]]
) -> bool:
    """Write the columns into a folder.

    Returns:
        Whether the records said the sizes of all photos.

    Raises:
        ValueError: a mask that cannot be of its photo, see :func:`mgfe_ris.datasets.masks.check_parts`; two records
            that differ in the size of their photo.
    """
    numbers = {name: array('q') for name in (*_NUMBERS, *_ENDS)}
    photos: dict[str, int] = {}
    sizes: list[tuple[int, int]] = []
    splits: dict[str, int] = {}
    pngs = []
    all_sizes = True
    with ExitStack() as stack:
        # not kept in memory: the masks are most of it
        files = {name: stack.enter_context(open(folder / name, 'wb')) for name in _BYTES}

        def write(name: str, end: str, text: bytes) -> None:
            files[name].write(text)
            numbers[end].append((numbers[end][-1] if numbers[end] else 0) + len(text))

        for number, record in enumerate(records):
            photo = photos.setdefault(record.file_name, len(photos))
            if photo == len(sizes):
                all_sizes &= any(record.size)
                sizes.append(record.size if any(record.size) else photo_size(record.file_name))
                for name, value in zip(('img_id', 'height', 'width'), (record.img_id, *sizes[photo]), strict=True):
                    numbers[name].append(value)
                write('names', 'name_end', record.file_name.encode())
            elif any(record.size) and record.size != sizes[photo]:
                raise ValueError(
                    f'{source}: ref_id {record.ref_id} says that {record.file_name} is {record.size}, another row says '
                    f'{sizes[photo]} (height, width)'
                )
            numbers['photo'].append(photo)
            numbers['ref_id'].append(record.ref_id)
            numbers['split'].append(splits.setdefault(record.split, len(splits)))
            parts = record.parts
            if any(sizes[photo]):
                try:
                    check_parts(parts, *sizes[photo])
                except ValueError as error:
                    raise ValueError(f'{source}: the mask of ref_id {record.ref_id}: {error}') from error
            write('masks', 'mask_end', pack_parts([]) if any(sizes[photo]) and is_empty(parts) else record.mask)
            if any(isinstance(part, dict) and 'png' in part for part in parts):
                pngs.append(number)
            for item in record.sentences:
                numbers['sent_id'].append(item.sent_id)
                for key in ('raw', 'sent'):
                    text = getattr(item, key)
                    write(key, f'{key}_end', text.encode('utf-8', 'replace') if text.strip() else b'')
            numbers['sentence_end'].append(len(numbers['sent_id']))
    for name, column in numbers.items():
        with open(folder / name, 'wb') as file:
            column.tofile(file)
    (folder / 'index.json').write_text(json.dumps(dict(splits=list(splits), pngs=pngs)), encoding='utf-8')
    return all_sizes


def _kept(folder: Path, rows: np.ndarray) -> str:
    """Write rows beside the columns, once; the name of the file."""
    name = f'rows-{hashlib.sha256(rows.tobytes()).hexdigest()[:16]}'
    if not (folder / name).is_file():
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(rows.tobytes())
        os.replace(file.name, folder / name)  # whole at once, for who reads it now
    return name


def _mapped(path: Path, dtype: type) -> np.ndarray:
    # an empty file cannot be mapped
    return np.memmap(path, dtype, 'r') if path.stat().st_size else np.empty(0, dtype)


def _piece(data: np.ndarray, ends: np.ndarray, i: int) -> bytes:
    return data[int(ends[i - 1]) if i else 0 : int(ends[i])].tobytes()


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker's copy goes, the files stay
        shutil.rmtree(folder, ignore_errors=True)
