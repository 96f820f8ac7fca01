"""Files of rows -> rows as dicts."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .json_stream import LONGEST, stream_items

IMAGE = ('file_name', 'image_path', 'image')
SENTENCES = ('sentences', 'captions', 'answer', 'sentence')
MASK = ('mask', 'segmentation', 'raw_anns')
NESTED = ('samples', 'objects', 'annotations', 'refs')
COLUMNS = {
    *IMAGE, *SENTENCES, *MASK, *NESTED, 'split', 'height', 'width', 'image_id', 'ref_id', 'sent_ids', 'raw_image_info',
    'mask_value', 'normalized',
}  # fmt: skip
_ROWS_AT_ONCE = 32  # a row may hold a photo


def rows_of(path: Path) -> Iterator[Any]:
    """The rows of a file, by its ending: ``.parquet``, ``.arrow``, else JSON lines or a JSON array.

    Raises:
        ValueError: a file that is not of that form.
        ImportError: parquet or arrow without pyarrow.
    """
    if path.suffix == '.parquet':
        return _parquet_rows(path)
    return _arrow_rows(path) if path.suffix == '.arrow' else _json_rows(path)


def split_of(path: Path) -> str:
    """What a file's name says: ``val`` of ``val-00000-of-00002.parquet``; the folder's, of what ``datasets`` saved."""
    split = re.sub(r'-\d+-of-\d+(-[0-9a-f]+)?$', '', path.stem)
    return path.absolute().parent.name if path.suffix == '.arrow' and split == 'data' else split


def row_files(source: Path) -> list[Path]:
    """A file, the files of a pattern, or those of a folder that ``datasets`` saved; empty: there is none."""
    if source.is_dir():
        return sorted(path for path in source.rglob('*.arrow') if not path.name.startswith('cache-'))
    return sorted(source.parent.glob(source.name))


def _json_rows(path: Path) -> Iterator[Any]:
    with open(path, 'rb') as file:
        lines = iter(lambda: file.readline(LONGEST), b'')
        begin = next((line for line in lines if line.strip()), b'').removeprefix(b'\xef\xbb\xbf').lstrip()
        if begin.startswith(b'['):
            yield from stream_items(path)
            return
        file.seek(0)
        number = -1
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise ValueError(f'{path}, line {number + 1}: more than {LONGEST:,} bytes; a line is one object')
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f'{path}, line {number + 1}: not JSON ({error})') from error


def _parquet_rows(path: Path) -> Iterator[dict]:
    with _reading(path, 'parquet file'):
        from pyarrow.parquet import ParquetFile

        file = ParquetFile(path, pre_buffer=False)
        columns = [name for name in file.schema_arrow.names if name in COLUMNS]
        texts = list(_texts_in(file.metadata, columns, path.stat().st_size))
        # so that a text that is repeated is in memory once until its length is known
        file = ParquetFile(path, pre_buffer=False, read_dictionary=texts)
        room = room_for(path.stat().st_size)
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            room -= sum(map(_unpacked_size, batch.columns))
            check_room(room)
            yield from batch.to_pylist()


def room_for(size: int) -> int:
    """Bytes to which a file of that size may unpack: annotations become some ten times as large."""
    return 64 * size + 32_000_000


def check_room(room: int) -> None:
    if room < 0:
        raise ValueError('it unpacks to far more than its size')


def _texts_in(about: Any, columns: list[str], size: int) -> Iterator[str]:
    """Paths of the texts in the columns of a parquet file, of which the metadata are compared with its size.

    Raises:
        ValueError: it says that it unpacks to far more, or has more rows or numbers than so many bytes hold.
    """
    if about.num_rows > 10_000 + size // 16:
        raise ValueError(f'{about.num_rows:,} rows in {size:,} bytes')
    room, numbers = room_for(size), 1_000_000 + 2 * size
    for group in map(about.row_group, range(about.num_row_groups)):
        chunks = [group.column(i) for i in range(group.num_columns)]
        for chunk in (one for one in chunks if one.path_in_schema.split('.')[0] in columns):
            room -= chunk.total_uncompressed_size
            numbers -= chunk.num_values
            check_room(min(room, numbers))
    for column in map(about.schema.column, range(len(about.schema.names))):
        if column.physical_type == 'BYTE_ARRAY' and column.path.split('.')[0] in columns:
            yield column.path


def _unpacked_size(array: Any) -> int:
    """Bytes of what arrow has once for many rows, once for each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        lengths = pc.binary_length(array.dictionary).cast('int64')
        return pc.sum(lengths.take(array.indices)).as_py() or 0
    if pa.types.is_struct(array.type):
        return sum(map(_unpacked_size, array.flatten()))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_map(array.type):
        return array.nbytes + (0 if pa.types.is_map(array.type) else _unpacked_size(array.flatten()))
    return array.nbytes


def _arrow_rows(path: Path) -> Iterator[dict]:
    with _reading(path, 'file that datasets saved'):
        from pyarrow import ipc, memory_map

        with memory_map(str(path)) as file, ipc.open_stream(file) as stream:
            for batch in stream:
                batch = batch.select([name for name in batch.schema.names if name in COLUMNS])
                for at in range(0, len(batch), _ROWS_AT_ONCE):
                    yield from batch.slice(at, _ROWS_AT_ONCE).to_pylist()


@contextmanager
def _reading(path: Path, form: str) -> Iterator[None]:
    """With pyarrow, whose errors then name the file."""
    try:
        from pyarrow import ArrowException
    except ImportError as error:
        raise ImportError(f'{path}: reading {path.suffix[1:]} needs pyarrow: pip install pyarrow') from error
    try:
        yield
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise ValueError(f'{path}: not a {form} ({error})') from error
