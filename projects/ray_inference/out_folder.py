"""The folder of results: settings.json, and a parquet file for each shard in parts/."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyarrow import ArrowException
from pyarrow.parquet import read_table
from shard_worker import SCHEMA
from shards import Shard, read_rows

from mgfe_ris.apis import require_empty
from mgfe_ris.apis.infer.jobs import SETTINGS
from mgfe_ris.apis.infer.result_folder import lock_folder, require_same_settings
from mgfe_ris.output_files import require_folder, whole_file

LOCK, PARTS = '.lock', 'parts'


@contextmanager
def open_out(out: Path, settings: dict) -> Iterator[Path]:
    """The folder for the parts, for this run alone.

    Raises:
        OSError: a folder that cannot be written, or with other things in it.
        ValueError: results of other settings, or another run is writing there.
    """
    require_folder('--out', out)
    path, now = out / SETTINGS, json.loads(json.dumps(settings))
    if path.is_file():
        require_same_settings(path, now)
    elif not _is_begun(out):
        require_empty(out)
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    with open(out / LOCK, 'ab') as file:
        lock_folder(out, file)
        if path.is_file():
            require_same_settings(path, now)  # still: another run may have been faster
        else:
            with whole_file(path) as part:
                part.write_text(json.dumps(now, indent=2) + '\n', encoding='utf-8')
        for left in (out / PARTS).glob('.part-*'):  # by workers that were killed
            left.unlink(missing_ok=True)
        yield out / PARTS


def _is_begun(out: Path) -> bool:
    """By a run that was killed ahead of its settings."""
    return (
        out.is_dir()
        and all(there.name in (LOCK, PARTS) or there.name.startswith(f'.{SETTINGS}.') for there in out.iterdir())
        and not any((out / PARTS).glob('*'))
    )


def read_settings(out: Path) -> dict:
    """Raises a ValueError for a folder without settings of ours."""
    try:
        settings = json.loads((out / SETTINGS).read_text(encoding='utf-8'))
        return dict(inputs=settings['inputs'], shard_rows=int(settings['shard_rows']))
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise ValueError(f'{out}: no folder with results of ours ({error})') from error


def missing(shards: Sequence[Shard], parts: Path) -> list[Shard]:
    """Those without a part. Listed once: to ask a file system in a network for each of them takes longer."""
    there = set(os.listdir(parts)) if parts.is_dir() else set()
    return [shard for shard in shards if shard.part not in there]


def count(parts: Path) -> tuple[int, int]:
    """Results, and how many of them are errors."""
    errors = read_table(parts, columns=['error'])['error']
    return len(errors), len(errors) - errors.null_count


def faults(shards: Sequence[Shard], out: Path) -> Iterator[str]:
    """Compare the parts with the input: each sentence of each row once, in turn, and nothing else."""
    parts = out / PARTS
    absent = set(missing(shards, parts))
    foreign = set(os.listdir(parts)) - {shard.part for shard in shards} if parts.is_dir() else set()
    yield from (f'{name}: of no row' for name in sorted(foreign) if not name.startswith('.'))
    for shard in shards:
        if shard in absent:
            yield f'{shard}: missing'
            continue
        try:
            table = read_table(parts / shard.part)
        except (ArrowException, OSError) as error:
            yield f'{shard}: cannot be read ({error})'
            continue
        expected = [(row.number, index) for row in read_rows(shard) for index in range(len(row.sentences))]
        if table.schema != SCHEMA:
            yield f'{shard}: other columns than {SCHEMA.names}'
        elif list(zip(*(table[name].to_pylist() for name in ('row', 'sentence_index')), strict=True)) != expected:
            yield f'{shard}: {len(table)} results, which are not the {len(expected)} of its rows'
