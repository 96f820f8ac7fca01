"""Files of photos and sentences, cut into shards: the same ones each time, whoever reads them."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from mgfe_ris.apis.infer.jobs import COLUMNS, columns_of

SUFFIXES = ('.parquet', '.jsonl')


@dataclass(frozen=True)
class Shard:
    """Rows of one file, whose results are one part.

    Attributes:
        number: of all shards of a run.
        file: absolute path.
        first: the number of the first row in its file, from 0; blank lines are no rows.
        rows: how many.
        begin: the byte at which the first row begins; of JSON lines.
    """

    number: int
    file: str
    first: int
    rows: int
    begin: int = 0

    @property
    def part(self) -> str:
        """The name of its results."""
        return f'part-{self.number:06d}.parquet'

    def __str__(self) -> str:
        return f'{self.part} (rows {self.first} to {self.first + self.rows - 1} of {self.file})'


@dataclass(frozen=True)
class Row:
    """What a row asks for, as it stands there: nothing of it is checked.

    Attributes:
        number: in its file, from 0.
        sentences: at least one, None where there is none.
        error: why nothing could be read of it.
    """

    number: int
    photo: Any
    sentences: list
    error: str | None = None


def cut(sources: Sequence[str | Path], rows: int) -> tuple[list[Shard], str]:
    """Cut files into shards of up to ``rows`` rows.

    Args:
        sources: ``.parquet`` and ``.jsonl`` files, or folders of them; those in folders of a folder do not count.

    Returns:
        the shards; and a fingerprint of the files, of their order and of all that is in them.

    Raises:
        FileNotFoundError: no such file, or a folder without one.
        ValueError: another kind of file, one named twice, or one without photos and sentences.
    """
    shards: list[Shard] = []
    fingerprint = sha256()
    for file in _files_of(sources):
        digest = sha256()
        begins = _json_begins(file, digest, rows) if file.suffix == '.jsonl' else _parquet_begins(file, digest, rows)
        shards += [Shard(len(shards) + i, str(file), i * rows, n, begin) for i, (begin, n) in enumerate(begins)]
        fingerprint.update(f'{file}\0{digest.hexdigest()}\0'.encode(errors='surrogateescape'))
    if not shards:
        raise ValueError(f'{", ".join(map(str, sources))}: no row')
    return shards, fingerprint.hexdigest()[:16]


def read_rows(shard: Shard) -> Iterator[Row]:
    """Raises a ValueError for a file that has become shorter than it was."""
    rows = _json_rows(shard) if shard.file.endswith('.jsonl') else _parquet_rows(shard)
    number = shard.first - 1
    for row in rows:
        number = row.number
        yield row
    if number != shard.first + shard.rows - 1:
        raise ValueError(f'{shard.file} was changed while it was read: row {number + 1} is not there')


def _files_of(sources: Sequence[str | Path]) -> list[Path]:
    files: list[Path] = []
    for source in map(Path, sources):
        # .hidden and _temporary, as other programs leave them, are no data
        inside = [path for path in source.iterdir() if path.name[0] not in '._'] if source.is_dir() else []
        found = sorted(path for path in inside if path.suffix in SUFFIXES) if source.is_dir() else [source]
        if not found or not all(path.is_file() for path in found):
            expected = f'no {" or ".join(SUFFIXES)} in this folder' if source.is_dir() else 'no such file'
            raise FileNotFoundError(f'{source}: {expected}')
        if found[0].suffix not in SUFFIXES:
            raise ValueError(f'{source}: expected {" or ".join(SUFFIXES)}')
        files += [Path(os.path.abspath(path)) for path in found]
    if twice := {path for path in files if files.count(path) > 1}:
        raise ValueError(f'{min(twice)} is named twice: each of its rows would come twice')
    return files


def _json_begins(file: Path, digest: Any, rows: int) -> list[tuple[int, int]]:
    """Byte and number of rows of each shard; the first row has to have photo and text, the others are seen later."""
    begins: list[int] = []
    count = at = 0
    with open(file, 'rb') as lines:
        for line in lines:
            if line.strip():
                if not count and (error := _json_row(0, line).error):
                    raise ValueError(f'{file}, first row: {error}')
                if count % rows == 0:
                    begins.append(at)
                count += 1
            at += len(line)
            digest.update(line)
    return [(begin, min(rows, count - i * rows)) for i, begin in enumerate(begins)]


def _json_rows(shard: Shard) -> Iterator[Row]:
    with open(shard.file, 'rb') as file:
        file.seek(shard.begin)
        lines = islice((line for line in file if line.strip()), shard.rows)
        yield from (_json_row(number, line) for number, line in enumerate(lines, shard.first))


def _json_row(number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
    except (RecursionError, ValueError) as error:
        return Row(number, None, [None], f'no JSON ({error})')
    names = columns_of(list(row)) if isinstance(row, dict) else []
    if not names:
        return Row(number, None, [None], f'expected {" and ".join(COLUMNS)}, got {str(row)[:200]}')
    photo, text = (row[name] for name in names)
    return Row(number, photo, _as_list(text))


def _as_list(text: Any) -> list:
    return (text or [None]) if isinstance(text, list) else [text]


def _parquet_begins(path: Path, digest: Any, rows: int) -> list[tuple[int, int]]:
    file, names = _open_parquet(path)
    with file, open(path, 'rb') as content:
        count = file.metadata.num_rows
        for name, may_be_list in zip(names, (False, True), strict=True):
            kind = file.schema_arrow.field(name).type
            if not _is_text(kind, may_be_list):
                raise ValueError(f'{path}: column {name} is {kind}; expected text{", or lists of it" * may_be_list}')
        while part := content.read(1 << 20):
            digest.update(part)
    return [(0, min(rows, count - first)) for first in range(0, count, rows)]


def _parquet_rows(shard: Shard) -> Iterator[Row]:
    """Only the row groups are read in which the shard lies, and of them no further than its end."""
    file, names = _open_parquet(shard.file)
    with file:
        before, groups = 0, []
        skip = shard.first
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if before + size > shard.first and before < shard.first + shard.rows:
                groups.append(group)
            elif before + size <= shard.first:
                skip -= size
            before += size
        batches = file.iter_batches(batch_size=256, row_groups=groups, columns=names)
        rows = (batch.slice(i, 1) for batch in batches for i in range(len(batch)))
        for number, row in enumerate(islice(rows, skip, skip + shard.rows), shard.first):
            try:
                photo, text = (row.column(name)[0].as_py() for name in names)
            except UnicodeDecodeError as error:
                yield Row(number, None, [None], f'no text in UTF-8 ({error})')
            else:
                yield Row(number, photo, _as_list(text))


def _open_parquet(path: str | Path) -> tuple[Any, list[str]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(path)
    except (ArrowException, OSError, ValueError) as error:
        raise ValueError(f'{path}: not a parquet file ({error})') from error
    names = columns_of(file.schema_arrow.names)
    if any(file.schema_arrow.names.count(name) > 1 for name in names):
        raise ValueError(f'{path}: two columns of one name, of {file.schema_arrow.names}')
    if not names:
        raise ValueError(f'{path}: expected columns {" and ".join(COLUMNS)}, got {file.schema_arrow.names}')
    return file, names


def _is_text(kind: Any, may_be_list: bool = False) -> bool:
    from pyarrow import types

    if may_be_list and (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return _is_text(kind.value_type)
    if types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
