"""Files of rows -> rows as dicts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


IMAGE = ('file_name', 'image_path', 'image')
SENTENCES = ('sentences', 'captions', 'answer', 'sentence')
MASK = ('mask', 'segmentation', 'raw_anns')
COLUMNS = {
    *IMAGE, *SENTENCES, *MASK, 'split', 'height', 'width', 'image_id', 'ref_id', 'sent_ids', 'raw_image_info'
}  # fmt: skip


def json_lines(path: Path) -> Iterator[Any]:
    with open(path, 'rb') as file:
        for number, line in enumerate(file):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f'{path}, line {number + 1}: not JSON ({error})') from error


def parquet_rows(path: Path) -> Iterator[dict]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(f'{path}: reading parquet needs pyarrow: pip install pyarrow') from error
    try:
        file = ParquetFile(path)
        # photos inside of the file would be read for nothing
        columns = [field.name for field in file.schema_arrow if field.name in COLUMNS and not _is_photo(field)]
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise ValueError(f'{path}: not a parquet file ({error})') from error


def _is_photo(field: Any) -> bool:
    return field.name in IMAGE and 'binary' in str(field.type)
