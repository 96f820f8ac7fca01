"""Files of rows -> rows as dicts."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .json_stream import stream_items

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
        begin = next((line for line in file if line.strip()), b'').removeprefix(b'\xef\xbb\xbf').lstrip()
        if begin.startswith(b'['):
            yield from stream_items(path)
            return
        file.seek(0)
        for number, line in enumerate(file):
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
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns):
            yield from batch.to_pylist()


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
