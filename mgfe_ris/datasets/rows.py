"""Rows, as JSON lines and parquet have them -> records."""

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from .fields import pixel_size, safe_parts, told, whole_number
from .file_names import check_name, kinship
from .masks import encoded_mask
from .photo_files import header_of_bytes, name_of_bytes
from .png_masks import check_mask_value, read_png
from .records import Record, Sentence, cleaned, pack_parts
from .row_files import IMAGE, MASK, NESTED, SENTENCES, check_room, room_for, rows_of, split_of


def read_rows(*paths: str | Path) -> Iterator[Record]:
    """A row per object: JSON lines or a JSON array, parquet as data set hubs export it (``.parquet``), or the files of
    a folder that Hugging Face's ``datasets`` saved (``.arrow``).

    Ids that the rows do not say are counted on from file to file.

    A row has ``image`` (also ``file_name``, ``image_path``), ``sentences`` (also ``captions``, ``answer``,
    ``sentence``; one or several) and ``mask`` (also ``segmentation``, ``raw_anns``: polygons, RLE, or the name of a PNG
    beside the photos; null: no target), and may have ``split``, ``height``, ``width``, ``image_id``, ``ref_id``,
    ``sent_ids``, ``mask_value`` (of a PNG, see :func:`mgfe_ris.datasets.png_masks.read_png`), ``normalized`` (true:
    polygons are in parts of width and height). Without ``split``, the file's name says it: ``train.jsonl``,
    ``val-00000-of-00002.parquet``. A row may be of a photo, with a list of such objects under ``samples`` (also
    ``objects``, ``annotations``, ``refs``). In parquet and arrow, the photo itself may stand in the row, and the mask
    as a PNG.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file or row that is not of that form, photos or objects that share an id; the row is named.
        ImportError: parquet or arrow without pyarrow.
    """
    ids = _Ids()
    for path in map(Path, paths):
        if not path.is_file():
            raise FileNotFoundError(f'{path}: no such file')
        room = room_for(path.stat().st_size)
        for number, row in enumerate(rows_of(path)):
            place = f'{path.name}, row {number + 1}'
            try:
                for item in _objects(row):
                    record = _row_record(item, split_of(path), ids)._replace(where=place)
                    ids.check(item, record)
                    room -= _length(record)  # objects of a row share what it says
                    check_room(room)
                    yield record
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f'{path}, row {number + 1}: {error}') from error


_MOST_SENTENCES = 1000


class _Ids:
    """Of photos, objects and sentences: those that rows lack are counted, those that they say are compared."""

    def __init__(self) -> None:
        self.photos: dict[str, int] = {}
        self.objects = self.sentences = 0
        self.name_of: dict[int, str] = {}
        self.id_of: dict[str, int] = {}
        self.object_of: dict[int, tuple[str, int]] = {}

    def check(self, row: dict, record: Record) -> None:
        """Of a record that was made with the counts of now; counts on.

        Raises:
            ValueError: one id for two photos or for two objects, two ids for one photo.
        """
        self.objects += 1
        self.sentences += len(record.sentences)
        photo = kinship(record.file_name) if record.photo is None else record.photo_key
        if row.get('image_id') is not None:
            if self.name_of.setdefault(record.img_id, photo) != photo:
                raise ValueError(
                    f'image_id {record.img_id} is of {photo!r} here, and before of {self.name_of[record.img_id]!r}'
                )
            if (before := self.id_of.setdefault(record.photo_key, record.img_id)) != record.img_id:
                raise ValueError(f'{record.file_name!r} has image_id {record.img_id} here, and before {before}')
        if row.get('ref_id') is not None:
            found = photo, hash(record.mask)
            if self.object_of.setdefault(record.ref_id, found) != found:
                raise ValueError(f'ref_id {record.ref_id} is of another photo or mask in a row before')


def _length(record: Record) -> int:
    return len(record.mask) + sum(len(one.raw) + len(one.sent) for one in record.sentences)


def _objects(row: Any) -> Iterator[dict]:
    """The row, or an object of its photo after the other."""
    if not isinstance(row, dict):
        raise ValueError(f'expected an object by name; got {told(row)}')
    key = next((key for key in NESTED if row.get(key) is not None), None)
    if key is None or not row.keys().isdisjoint(MASK):
        yield row
        return
    shared = {name: value for name, value in row.items() if name not in NESTED}
    for item in _listed(row[key]):
        if not isinstance(item, dict):
            raise ValueError(f'{key} must be a list of objects; got {told(item)}')
        own = {'ref_id' if name == 'id' else name: value for name, value in item.items()}
        yield {**shared, **own}


def _listed(items: Any) -> list:
    """A list for each name, ``{'id': [1, 2], 'mask': {'size': [a, b]}}`` -> a list of objects,
    ``[{'id': 1, 'mask': {'size': a}}, ...]``."""
    if not isinstance(items, dict):
        return items if isinstance(items, list) else [items]
    columns = {name: _listed(value) if isinstance(value, dict) else value for name, value in items.items()}
    if not all(isinstance(column, list) for column in columns.values()):
        return [items]
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f'lists of different lengths in {told(list(items))}')
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _row_record(row: dict, split: str, ids: _Ids) -> Record:
    """All but the place of it."""
    info = _unpacked(row.get('raw_image_info')) or {}
    if not isinstance(info, dict):
        raise ValueError(f'raw_image_info must be an object by name; got {told(info)}')
    photo = _photo_inside(row)
    name = check_name(_name(row), may_be_absolute=True) if photo is None else name_of_bytes(photo, _name(row, ''))
    height, width = (row.get(key, info.get(key)) for key in ('height', 'width'))
    size = (0, 0) if height is None and width is None else pixel_size(height, width)
    if photo is not None:
        header_of_bytes(photo)
    spoken = _first(row, SENTENCES)
    with suppress(ValueError):  # a sentence may begin as JSON does
        spoken = _unpacked(spoken)
    sentences = list(_sentences(spoken, _unpacked(row.get('sent_ids')), ids.sentences))
    if not sentences:
        raise ValueError('no sentence')
    split = split if row.get('split') is None else row['split']
    if not isinstance(split, str):
        raise ValueError(f'split must be a string; got {told(split)}')
    counted = ids.photos.setdefault(name if photo is None else name[:16], len(ids.photos))
    return Record(
        split=split,
        file_name=name,
        size=size,
        img_id=_integer(row.get('image_id'), 'image_id', counted),
        ref_id=_integer(row.get('ref_id'), 'ref_id', ids.objects),
        mask=_row_mask(_unpacked(_first(row, MASK, may_be_null=True)), row),
        sentences=sentences,
        photo=photo,
    )


def _photo_inside(row: dict) -> bytes | None:
    """``image``, where it is no name."""
    image = row.get('image')
    if isinstance(image, dict):
        image = image.get('bytes')
    return image if isinstance(image, bytes) else None


def _name(row: dict, otherwise: str | None = None) -> Any:
    image = row.get('image')
    names = dict(row, image=image.get('path') if isinstance(image, dict) else None if _photo_inside(row) else image)
    if otherwise is not None and all(names.get(key) is None for key in IMAGE):
        return otherwise
    return _first(names, IMAGE)


def _first(row: dict, names: Iterable[str], may_be_null: bool = False) -> Any:
    for name in names:
        if row.get(name) is not None:
            return row[name]
    if may_be_null and not row.keys().isdisjoint(names):
        return None
    raise ValueError(f'none of {", ".join(names)}; there are {", ".join(map(str, row))}')


def _unpacked(value: Any) -> Any:
    """JSON inside of a string, as exports have it."""
    return json.loads(value) if isinstance(value, str) and value.lstrip()[:1] in ('{', '[') else value


def _row_mask(mask: Any, row: dict) -> bytes:
    if isinstance(mask, dict) and 'segmentation' in mask:
        mask = mask['segmentation']
    if isinstance(mask, str):
        mask = {'png': mask}
    if isinstance(mask, dict) and 'bytes' in mask and 'counts' not in mask:
        mask = mask['bytes'] if mask['bytes'] is not None else {'png': mask.get('path')}
    value = check_mask_value(row.get('mask_value'))
    if isinstance(mask, bytes):
        mask = encoded_mask(read_png(io.BytesIO(mask), value))
    parts = [] if mask is None else safe_parts(mask)  # null: the sentences have no target
    if value is not None:
        parts = [dict(part, value=value) if isinstance(part, dict) and 'png' in part else part for part in parts]
    if row.get('normalized'):
        parts = [{'normalized': part} if isinstance(part, list) else part for part in parts]
    return pack_parts(parts)


def _sentences(value: Any, ids: Any, first_id: int) -> Iterator[Sentence]:
    """With the ids that the row says, and for the others those counted on from ``first_id`` that it does not say."""
    if isinstance(value, list) and len(value) > _MOST_SENTENCES:
        raise ValueError(f'{len(value)} sentences of one object; at most {_MOST_SENTENCES} are read')
    items = [{'raw': x} if isinstance(x, str) else x for x in (value if isinstance(value, list) else [value])]
    if ids is not None and not (isinstance(ids, list) and len(ids) == len(items)):
        raise ValueError(
            f'sent_ids must be a list of {len(items)}, an id for each sentence; got {told(ids)}. Leave it away to have '
            'them counted'
        )
    given = [
        item.get('sent_id', i) if isinstance(item, dict) else i
        for item, i in zip(items, ids or [None] * len(items), strict=True)
    ]
    said = {_integer(i, 'sent_id', -1) for i in given if i is not None}
    counted = (i for i in count(first_id) if i not in said)
    for item, sent_id in zip(items, given, strict=True):
        texts = item if isinstance(item, dict) else {}
        raw = texts.get('raw', texts.get('sent'))
        sent = texts['sent'] if 'sent' in texts else cleaned(raw) if isinstance(raw, str) else None
        if not isinstance(raw, str) or not isinstance(sent, str):
            raise ValueError(f'a sentence must be a string, or have one under sent or raw; got {told(item)}')
        yield Sentence(next(counted) if sent_id is None else _integer(sent_id, 'sent_id', -1), raw, sent)


def _integer(value: Any, field: str, otherwise: int) -> int:
    if value is None:
        return otherwise
    try:
        return whole_number(value, field)
    except ValueError as error:
        raise ValueError(f'{error}. Leave {field} away to have it counted') from None
