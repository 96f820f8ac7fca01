"""Annotations in the forms that people have -> records, one per object.

No torch here, and no trust: the files come from mirrors of dead links.
"""

import json
import marshal
import re
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .json_stream import stream_lists
from .masks import Part, mask_parts
from .plain_pickle import load_plain_pickle, no_garbage


class Sentence(NamedTuple):
    """A sentence as it was typed, and the same cleaned: lower case, without punctuation."""

    sent_id: int
    raw: str
    sent: str


class Record(NamedTuple):
    """An object of a photo and what is said of it."""

    split: str
    file_name: str
    """Of the photo, relative to the folder of photos."""
    size: tuple[int, int]
    """(height, width) of the photo in pixels; (0, 0): the file does not say."""
    img_id: int
    ref_id: int
    mask: bytes
    """``parts``, packed: as lists of numbers, those of a large data set fill the memory."""
    sentences: list[Sentence]
    where: str = ''
    """Where it stands in the files, for errors."""

    @property
    def parts(self) -> list[Part]:
        """Of the mask, see :mod:`mgfe_ris.datasets.masks`; none: the sentences have no target."""
        return unpack_parts(self.mask)


def pack_parts(parts: list[Part]) -> bytes:
    return marshal.dumps(parts)


def unpack_parts(mask: bytes) -> list[Part]:
    """Only of what :func:`pack_parts` made, never of a file."""
    return marshal.loads(mask)


def refer_files(folder: str | Path, split_by: str) -> tuple[Path, Path]:
    """The refs and the instances of a folder, see :func:`read_refer`.

    Raises:
        FileNotFoundError: the folder or one of the files is missing; the message lists what is there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder. Set data_root to where the annotations lie')
    names = [f'{kind}({split_by}).{suffix}' for kind in ('refs', 'grefs') for suffix in ('p', 'json')]
    return _first_file(folder, names), _first_file(folder, ['instances.json'])


def read_refer(folder: str | Path, split_by: str) -> Iterator[Record]:
    """RefCOCO, RefCOCO+, G-Ref, RefCLEF and gRefCOCO: ``refs(<split_by>).p`` or ``.json`` (or ``grefs(...)``) with
    ``instances.json`` beside it.

    Raises:
        FileNotFoundError: see :func:`refer_files`.
        ValueError: a file that is not of that form or not safe to read, a ref to what is not there.
    """
    refs_file, instances_file = refer_files(folder, split_by)
    refs = load_plain_pickle(refs_file) if refs_file.suffix == '.p' else _load_json(refs_file)
    _check_refs(refs_file, refs)
    with no_garbage():
        images, annotations = _read_instances(instances_file, {i for ref in refs for i in _ann_ids(ref)})
    _require_all(refs_file, [r for r in refs if r['image_id'] not in images], 'image', 'image_id')
    missing = [r for r in refs if not all(i in annotations for i in _ann_ids(r))]
    _require_all(refs_file, missing, 'annotation', 'ann_id')
    _spend(instances_file, (len(annotations[i]) for ref in refs for i in _ann_ids(ref)))
    refs.reverse()
    while refs:
        ref = refs.pop()  # to make room for what is built of it
        name, size = images[ref['image_id']]
        yield Record(
            split=ref['split'],
            file_name=name,
            size=size,
            img_id=ref['image_id'],
            ref_id=ref['ref_id'],
            mask=_joined([annotations[i] for i in _ann_ids(ref)]),
            sentences=[Sentence(s['sent_id'], s.get('raw', s['sent']), s['sent']) for s in ref['sentences']],
            where=f'ref_id {ref["ref_id"]}',
        )


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
        rows = _parquet_rows(path) if path.suffix == '.parquet' else _json_lines(path)
        split = re.sub(r'-\d+-of-\d+(-[0-9a-f]+)?$', '', path.stem)
        for number, row in enumerate(rows):
            try:
                record = _row_record(row, split, ref_id, photos, sent_id)
            except (ValueError, TypeError, RecursionError) as error:
                raise ValueError(f'{path}, row {number + 1}: {error}') from error
            ref_id += 1
            sent_id += len(record.sentences)
            yield record._replace(where=f'{path.name}, row {number + 1}')


def cleaned(raw: str) -> str:
    """As RefCOCO's ``sent`` is made of its ``raw``: lower case, without punctuation."""
    return ' '.join(re.sub(r'[^\w\s]', ' ', raw.lower()).split())


def is_blank(text: str) -> bool:
    """Whether nothing of it is seen: white space, control letters, letters of no width."""
    return all(unicodedata.category(letter) in ('Cc', 'Cf', 'Zl', 'Zp', 'Zs') for letter in text)


def check_name(name: Any) -> str:
    """The name of a file inside of a folder, in one spelling; raises ValueError for one that climbs out of it, or that
    no disk takes."""
    path = PurePosixPath(name.replace('\\', '/') if isinstance(name, str) else '')
    parts = path.parts
    if not parts or path.is_absolute() or '\0' in name or '..' in parts or ':' in parts[0]:
        raise ValueError(f'{str(name)[:80]!r} is no file name inside of a folder')
    if len(name.encode()) > 1024 or max(len(part.encode()) for part in parts) > 255:
        raise ValueError(f'{name[:80]!r} is too long for the name of a file')
    return str(PurePosixPath(name))


# RefCOCO's own form

_REF = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
_SENTENCE = ('sent_id', 'sent')
_REPEATS = 16


def _check_refs(path: Path, refs: Any) -> None:
    if not isinstance(refs, list) or not refs or not all(map(_is_ref, refs)):
        raise ValueError(_NO_REFS.format(path))
    _spend(path, (len(ref['sentences']) + len(_ids(ref)) for ref in refs))
    if not all(all(map(_is_int, _ids(ref))) and all(map(_is_sentence, ref['sentences'])) for ref in refs):
        raise ValueError(_NO_REFS.format(path))
    _spend(path, (len(s['sent']) + len(s.get('raw', '')) for ref in refs for s in ref['sentences']))


_NO_REFS = f'{{}}: expected a list of refs with {_REF}, and sentences with {_SENTENCE}'


def _spend(path: Path, sizes: Iterable[int]) -> None:
    """In a pickle one list may stand in a million places, and refs may share a mask: a small file that grows without
    end when it is read out."""
    room = _REPEATS * path.stat().st_size
    for size in sizes:
        room -= size
        if room < 0:
            raise ValueError(f'{path}: the refs repeat themselves to more than {_REPEATS} times the size of the file')


def _is_ref(ref: Any) -> bool:
    """As far as can be seen without looking into its lists."""
    return (
        isinstance(ref, dict)
        and ref.keys() >= set(_REF)
        and all(_is_int(ref[key]) for key in ('ref_id', 'image_id'))
        and isinstance(ref['split'], str)
        and isinstance(ref['sentences'], list)
    )


def _is_sentence(sentence: Any) -> bool:
    return (
        isinstance(sentence, dict)
        and _is_int(sentence.get('sent_id'))
        and isinstance(sentence.get('sent'), str)
        and isinstance(sentence.get('raw', ''), str)
    )


def _is_int(x: Any) -> bool:
    return type(x) is int and abs(x) < 2**63


def _ids(ref: dict) -> list[int]:
    return ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]


def _ann_ids(ref: dict) -> list[int]:
    """gRefCOCO has several, or -1 where the sentences have no target."""
    ids = _ids(ref)
    return [] if ref.get('no_target') or ids == [-1] else ids


_ID = re.compile(r'"id"\s*:\s*(\d{1,18})\b(?!\.)')


def _read_instances(path: Path, wanted: set[int]) -> tuple[dict[int, tuple[str, tuple[int, int]]], dict[int, bytes]]:
    """Names and sizes of all photos, and the packed masks of the wanted annotations, by id."""
    images = {}
    annotations = {}
    seen = set()
    for key, item in stream_lists(path, as_text=('annotations',)):
        seen.add(key)
        if key not in ('images', 'annotations'):
            continue
        try:
            if key == 'annotations':
                # most are of no ref: they are not decoded
                if len(ids := _ID.findall(item)) == 1 and int(ids[0]) not in wanted:
                    continue
                item = json.loads(item)
            if not isinstance(item, dict) or not _is_int(item['id']):
                raise ValueError('no record with a number as id')
            if key == 'images':
                images[item['id']] = check_name(item['file_name']), _size(item['height'], item['width'])
            elif item['id'] in wanted:
                annotations[item['id']] = pack_parts(_safe_parts(item['segmentation']))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f'it lacks {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'{path}: {key} of COCO instances, {str(item)[:80]}: {reason}') from error
    if 'images' not in seen or (wanted and 'annotations' not in seen):
        raise ValueError(f'{path}: expected COCO instances, lists images and annotations; found {sorted(seen)}')
    return images, annotations


def _safe_parts(segmentation: Any) -> list[Part]:
    """At least one, and no PNG from elsewhere."""
    parts = mask_parts(segmentation)
    if not parts:
        raise ValueError('the mask is empty')
    for part in parts:
        if isinstance(part, dict) and 'png' in part:
            check_name(part['png'])
    return parts


def _joined(masks: list[bytes]) -> bytes:
    return masks[0] if len(masks) == 1 else pack_parts([part for mask in masks for part in unpack_parts(mask)])


def _size(height: Any, width: Any) -> tuple[int, int]:
    # int32 arithmetic of pycocotools: (height * width) must fit
    if not (_is_int(height) and _is_int(width) and 0 < height < 2**15 and 0 < width < 2**15):
        raise ValueError(f'a photo of {height} x {width} pixels (height, width)')
    return height, width


def _require_all(path: Path, missing: list[dict], what: str, key: str) -> None:
    if missing:
        first = missing[0]
        raise ValueError(
            f'{path}: {len(missing)} refs point to a missing {what} in instances.json; the first is ref_id '
            f'{first["ref_id"]} with {key} {str(first[key])[:80]}. Are refs and instances.json of the same data set?'
        )


def _first_file(folder: Path, names: list[str]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = sorted(p.name for p in folder.iterdir())
    raise FileNotFoundError(f'{folder / names[0]}: no such file. The folder holds {there}')


def _load_json(path: Path) -> Any:
    try:
        with no_garbage():
            return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # of JSON, or of its encoding
        raise ValueError(f'{path}: not JSON ({error})') from error


# Rows


def _json_lines(path: Path) -> Iterator[Any]:
    with open(path, 'rb') as file:
        for number, line in enumerate(file):
            if line.strip():
                try:
                    yield json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f'{path}, line {number + 1}: not JSON ({error})') from error


def _parquet_rows(path: Path) -> Iterator[dict]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError(f'{path}: reading parquet needs pyarrow: pip install pyarrow') from error
    try:
        file = ParquetFile(path)
        # photos inside of the file would be read for nothing
        columns = [field.name for field in file.schema_arrow if field.name in _COLUMNS and not _is_photo(field)]
        for batch in file.iter_batches(batch_size=1024, columns=columns):
            yield from batch.to_pylist()
    except (ArrowException, OSError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise ValueError(f'{path}: not a parquet file ({error})') from error


def _is_photo(field: Any) -> bool:
    return field.name in _IMAGE and 'binary' in str(field.type)


_IMAGE = ('file_name', 'image_path', 'image')
_SENTENCES = ('sentences', 'captions', 'answer', 'sentence')
_MASK = ('mask', 'segmentation', 'raw_anns')
_COLUMNS = {
    *_IMAGE, *_SENTENCES, *_MASK, 'split', 'height', 'width', 'image_id', 'ref_id', 'sent_ids', 'raw_image_info'
}  # fmt: skip


def _row_record(row: Any, split: str, number: int, photos: dict[str, int], sent_id: int) -> Record:
    if not isinstance(row, dict):
        raise ValueError(f'expected an object by name; got {str(row)[:80]}')
    info = _unpacked(row.get('raw_image_info')) or {}
    if not isinstance(info, dict):
        raise ValueError(f'raw_image_info must be an object by name; got {str(info)[:80]}')
    name = check_name(_coco_name(_first(row, _IMAGE)))
    height, width = (row.get(key, info.get(key)) for key in ('height', 'width'))
    told = _first(row, _SENTENCES)
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
        size=(0, 0) if height is None and width is None else _size(height, width),
        img_id=_integer(row.get('image_id'), photos.setdefault(name, len(photos))),
        ref_id=_integer(row.get('ref_id'), number),
        mask=_row_mask(_unpacked(_first(row, _MASK, may_be_null=True))),
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
    return pack_parts([] if mask is None else _safe_parts(mask))  # null: the sentences have no target


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
    if not _is_int(value):
        raise ValueError(f'an id must be a whole number; got {str(value)[:80]!r}')
    return value
