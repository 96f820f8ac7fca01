"""Rows, as JSON lines and parquet have them -> records."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .fields import is_whole, pixel_size, safe_parts
from .file_names import check_name
from .records import Record, Sentence, cleaned, pack_parts
from .row_files import IMAGE, MASK, SENTENCES, json_lines, parquet_rows


def read_rows(*paths: str | Path) -> Iterator[Record]:
    """A row per object: JSON lines (``.jsonl``), or parquet as data set hubs export it (``.parquet``).

    Ids that the rows do not say are counted on from file to file.

    A row has ``image`` (also ``file_name``, ``image_path``), ``sentences`` (also ``captions``, ``answer``,
    ``sentence``; one or several) and ``mask`` (also ``segmentation``, ``raw_anns``: polygons, RLE, or the name of a PNG
    beside the photos; null: no target), and may have ``split``, ``height``, ``width``, ``image_id``, ``ref_id``,
    ``sent_ids``. Without ``split``, the file's name says it: ``train.jsonl``, ``val-00000-of-00002.parquet``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file or row that is not of that form; the row is named.
        ImportError: parquet without pyarrow.
    """
    photos: dict[str, int] = {}
    ref_id = sent_id = 0
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such file')
        rows = parquet_rows(path) if path.suffix == '.parquet' else json_lines(path)
        split = re.sub(r'-\d+-of-\d+(-[0-9a-f]+)?$', '', path.stem)
        for number, row in enumerate(rows):
            try:
                record = _row_record(row, split, ref_id, photos, sent_id)
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f'{path}, row {number + 1}: {error}') from error
            ref_id += 1
            sent_id += len(record.sentences)
            yield record._replace(where=f'{path.name}, row {number + 1}')


def _row_record(row: Any, split: str, number: int, photos: dict[str, int], sent_id: int) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f'expected an object by name; got {str(row)[:80]}')
    info = _unpacked(row.get('raw_image_info')) or {}
    if not isinstance(info, dict):
        raise ValueError(f'raw_image_info must be an object by name; got {str(info)[:80]}')
    name = check_name(_coco_name(_first(row, IMAGE)))
    height, width = (row.get(key, info.get(key)) for key in ('height', 'width'))
    told = _first(row, SENTENCES)
    with suppress(ValueError):  # a sentence may begin as JSON does
        told = _unpacked(told)
    sentences = list(_sentences(told, row.get('sent_ids'), sent_id))
    if not sentences:
        raise ValueError('no sentence')
    split = split if row.get('split') is None else row['split']
    if not isinstance(split, str):
        raise ValueError(f'split must be a string; got {split!r}')
    return Record(
        split=split,
        file_name=name,
        size=(0, 0) if height is None and width is None else pixel_size(height, width),
        img_id=_integer(row.get('image_id'), photos.setdefault(name, len(photos))),
        ref_id=_integer(row.get('ref_id'), number),
        mask=_row_mask(_unpacked(_first(row, MASK, may_be_null=True))),
        sentences=sentences,
    )


def _first(row: dict, names: Iterable[str], may_be_null: bool = False) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    if may_be_null and not row.keys().isdisjoint(names):
        return None
    raise ValueError(f'none of {", ".join(names)}; there are {", ".join(map(str, row))}')


def _coco_name(name: Any) -> str:
    """Exports put folders before, and an object's number behind, the names of COCO's photos."""
    if not isinstance(name, str):
        raise ValueError(f"the photo's name must be a string; got {str(name)[:80]!r}")
    coco = re.search(r'(COCO_(?:train|val)2014_\d{12})(?:_\d+)?\.jpg$', name)
    return f'{coco[1]}.jpg' if coco else name


def _unpacked(value: Any) -> Any:
    """JSON inside of a string, as exports have it."""
    return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ('{', '[') else value


def _row_mask(mask: Any) -> bytes:
    if isinstance(mask, dict) and 'segmentation' in mask:
        mask = mask['segmentation']
    if isinstance(mask, str):
        mask = {'png': mask}
    return pack_parts([] if mask is None else safe_parts(mask))  # null: the sentences have no target


def _sentences(value: Any, ids: Any, first_id: int) -> Iterator[Sentence]:
    for i, item in enumerate(value if isinstance(value, list) else [value]):
        given = ids[i] if isinstance(ids, list) and i < len(ids) else None
        item = {'raw': item} if isinstance(item, str) else item
        texts = item if isinstance(item, dict) else {}
        raw = texts.get('raw', texts.get('sent'))
        sent = texts['sent'] if 'sent' in texts else cleaned(raw) if isinstance(raw, str) else None
        if not isinstance(raw, str) or not isinstance(sent, str):
            raise ValueError(f'a sentence must be a string, or have one under sent or raw; got {str(item)[:80]}')
        yield Sentence(_integer(item.get('sent_id', given), first_id + i), raw, sent)


def _integer(value: Any, otherwise: int) -> int:
    """Hubs write ids as strings now and then."""
    if value is None:
        return otherwise
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not is_whole(value):
        raise ValueError(f'an id must be a whole number; got {str(value)[:80]!r}')
    return value
