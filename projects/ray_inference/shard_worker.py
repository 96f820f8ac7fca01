"""A worker: a shard of photos and sentences -> a parquet file of masks, whole or not at all."""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet
from shards import Row, Shard, read_rows

from mgfe_ris.apis import RISInferencer, RISResult, input_pipeline
from mgfe_ris.apis.infer.inferencer import check_sentences
from mgfe_ris.apis.infer.jobs import whole_path
from mgfe_ris.output_files import whole_file

SCHEMA = pa.schema([
    ('file', pa.string()),
    ('row', pa.int64()),
    ('sentence_index', pa.int32()),
    ('photo', pa.string()),
    ('sentence', pa.string()),
    ('rle', pa.struct([('size', pa.list_(pa.int32())), ('counts', pa.string())])),
    ('bbox', pa.list_(pa.int32())),
    ('area', pa.int64()),
    ('confidence', pa.float64()),
    ('understood', pa.bool_()),
    ('no_target', pa.float64()),
    ('error', pa.string()),
])  # fmt: skip
"""Of every part; README.md says what the columns are."""

MAX_TRIES = 4


def model_settings(inferencer: RISInferencer) -> dict:
    """What has to be the same in all workers, and when a run goes on."""
    return dict(
        weights=inferencer.fingerprint(),
        precision=inferencer.precision,
        batch_size=inferencer.batch_size,
        pipeline=str(input_pipeline(inferencer.model.cfg)),
    )


class ShardWorker:
    """Writes the part of one shard after the other; what is there already is not computed again.

    Args:
        parts: folder of the parts, which the driver has made.
        model: arguments of :class:`RISInferencer`.
        settings: those of :func:`model_settings`; ``threshold`` of the score; and ``data_root``, the folder of the
            photos, None for that of the file which names them.

    Raises:
        FileNotFoundError: ``parts`` is not there, that is, this machine does not share the folder.
        ValueError: this machine's model is another one.
    """

    def __init__(self, parts: str, model: dict, settings: dict):
        self.parts, self.threshold, self.data_root = Path(parts), settings['threshold'], settings['data_root']
        if not self.parts.is_dir():
            raise FileNotFoundError(f'{parts} is not there: --out has to be a folder that all machines share')
        self.inferencer = RISInferencer(**model)
        for name, value in model_settings(self.inferencer).items():
            if value != settings[name]:
                raise ValueError(f'{model["model"]} differs from where the run was started: {name} {value}')

    def __call__(self, row: dict) -> dict:
        """A :class:`Shard`, as a dict -> its number, when its part is there."""
        shard = Shard(**row)
        part = self.parts / shard.part
        if not part.is_file():
            self._count_try(shard)
            table = pa.Table.from_pylist(self._results(shard), SCHEMA)
            with whole_file(part) as beside:
                parquet.write_table(table, beside, compression='zstd')
        self._tries(shard).unlink(missing_ok=True)
        return {'number': shard.number}

    def _count_try(self, shard: Shard) -> None:
        """On disk, since what kills its worker, for one by the memory that it takes, would do so for ever."""
        with open(self._tries(shard), 'a+') as file:
            file.write(f'{os.getpid()}\n')
            file.seek(0)
            if len(file.readlines()) > MAX_TRIES:
                raise RuntimeError(f'{shard}: {MAX_TRIES} workers died of it')

    def _tries(self, shard: Shard) -> Path:
        return self.parts / f'.{shard.part}.tries'

    def _results(self, shard: Shard) -> list[dict]:
        """A record for each sentence of each row, with a mask or an error."""
        records: list[dict] = []
        asked: list[tuple[str, list[dict]]] = []
        for row in read_rows(shard):
            photo, new = self._records(shard, row)
            records += new
            fine = [record for record in new if record['error'] is None]
            at_once = self.inferencer.batch_size  # memory holds the scores of so many at a time
            asked += [(photo, fine[at : at + at_once]) for at in range(0, len(fine), at_once)]
        jobs = ((photo, [record['sentence'] for record in part]) for photo, part in asked)
        found = self.inferencer.stream(jobs, self.threshold)
        for (_, part), results in zip(asked, found, strict=True):
            if isinstance(results, Exception):
                results = [dict(error=_as_text(str(results)))] * len(part)
            for record, result in zip(part, results, strict=True):
                record.update(_columns(result) if isinstance(result, RISResult) else result)
        return records

    def _records(self, shard: Shard, row: Row) -> tuple[str, list[dict]]:
        """The photo's whole name, and a record for each sentence, with what is wrong before any photo is opened."""
        photo, error = '', row.error
        if error is None:
            try:
                photo = self._photo(shard, row.photo)
            except (OSError, ValueError) as wrong:
                error = str(wrong)
        return photo, [
            dict(
                file=_as_text(shard.file),
                row=row.number,
                sentence_index=index,
                photo=_as_text(row.photo),
                sentence=_as_text(sentence),
                error=_as_text(error or self._wrong_sentence(sentence)),
            )
            for index, sentence in enumerate(row.sentences)
        ]

    def _photo(self, shard: Shard, photo: Any) -> str:
        if not isinstance(photo, str) or not photo.strip():
            raise ValueError(f'the photo is empty or no text: {str(photo)[:60]!r}')
        return whole_path(photo, self.data_root or Path(shard.file).parent)

    def _wrong_sentence(self, sentence: Any) -> str | None:
        """One by one: a wrong sentence does not cost the others about its photo."""
        try:
            if sentence is None:
                raise ValueError('no sentence: say which object is meant')
            check_sentences([sentence])
            self.inferencer.understands(sentence)
        except ValueError as error:
            return str(error)
        return None


def _columns(result: RISResult) -> dict:
    found = result.to_json()
    if found['box']:
        left, top, right, bottom = found['box']
        found['bbox'] = [left, top, right - left, bottom - top]
    return {name: found.get(name) for name in ('rle', 'bbox', 'area', 'confidence', 'understood', 'no_target')}


def _as_text(value: Any) -> str | None:
    """As parquet may hold it; names of files need not be text, and JSON can write halves of letters."""
    return value.encode(errors='backslashreplace').decode() if isinstance(value, str) else None
