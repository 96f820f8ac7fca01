"""RefCOCO's form of annotations -> records.

No torch here, and no trust: the files come from mirrors of dead links.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .fields import pixel_size, safe_parts, told, whole_number
from .file_names import check_name
from .json_stream import stream_lists
from .plain_pickle import load_plain_pickle, no_garbage
from .records import Record, Sentence, pack_parts, unpack_parts


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
    refs = read_refs(refs_file)
    with no_garbage():
        images, annotations = _read_instances(instances_file, {i for ref in refs for i in _ann_ids(ref)})
    _require_all(refs_file, [r for r in refs if r['image_id'] not in images], 'image', 'image_id')
    missing = [r for r in refs if not all(i in annotations for i in _ann_ids(r))]
    _require_all(refs_file, missing, 'annotation', 'ann_id')
    _require_own_photo(refs_file, refs, annotations)
    _spend(instances_file, (len(annotations[i][1]) for ref in refs for i in _ann_ids(ref)))
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
            mask=_joined([annotations[i][1] for i in _ann_ids(ref)]),
            sentences=[Sentence(s['sent_id'], s.get('raw', s['sent']), s['sent']) for s in ref['sentences']],
            where=f'ref_id {ref["ref_id"]}',
        )


def read_refs(path: Path) -> list[dict]:
    """The refs of a pickle or of JSON, with ids that are numbers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no list of refs, or one that lacks something, repeats an id or names an object twice; the ref and
            the field are named.
    """
    refs = load_plain_pickle(path) if path.suffix == '.p' else _load_json(path)
    if not isinstance(refs, list) or not refs:
        raise ValueError(f'{path}: expected a list of refs with {_REF}; got {_what(refs)}')
    _check_each(path, refs, _check_ref)
    _spend(path, (len(ref['sentences']) + len(_ids(ref)) for ref in refs))
    _check_each(path, refs, _check_lists)
    _spend(path, (len(s['sent']) + len(s.get('raw', '')) for ref in refs for s in ref['sentences']))
    if len({ref['ref_id'] for ref in refs}) < len(refs):
        ((number, count),) = Counter(ref['ref_id'] for ref in refs).most_common(1)
        raise ValueError(f'{path}: {count} refs have ref_id {number}. Files that were joined need ids of their own')
    return refs


_REF = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
_REPEATS = 16


def _what(refs: Any) -> str:
    if isinstance(refs, dict):
        return f'an object with {told(list(refs))}'
    return f'{type(refs).__name__} {told(refs)}'


def _check_each(path: Path, refs: list, check: Callable[[Any], None]) -> None:
    for number, ref in enumerate(refs):
        try:
            check(ref)
        except ValueError as error:
            which = f' (ref_id {told(ref.get("ref_id"))})' if isinstance(ref, dict) else ''
            raise ValueError(f'{path}: ref {number + 1} of {len(refs)}{which}: {error}') from error


def _check_ref(ref: Any) -> None:
    """As far as can be seen without looking into its lists; its ids become numbers."""
    if not isinstance(ref, dict):
        raise ValueError(f'expected an object with {_REF}; got {told(ref)}')
    if lacking := [key for key in _REF if key not in ref]:
        raise ValueError(f'it lacks {", ".join(lacking)}; expected {_REF}')
    for key in ('ref_id', 'image_id'):
        if not _is_int(ref[key]):
            ref[key] = whole_number(ref[key], key)
    if not isinstance(ref['split'], str):
        raise ValueError(f'split must be a string; got {told(ref["split"])}')
    if not isinstance(ref['sentences'], list):
        raise ValueError(f'sentences must be a list; got {told(ref["sentences"])}')


def _check_lists(ref: dict) -> None:
    """Its objects and sentences; their ids become numbers."""
    ids = _ids(ref)
    if not all(map(_is_int, ids)):
        ids = [whole_number(i, 'ann_id') for i in ids]
        ref['ann_id'] = ids if isinstance(ref['ann_id'], list) else ids[0]
    if len(ids) > 1 and len(set(ids)) < len(ids):
        raise ValueError(f'ann_id names an object twice: {told(ids)}')
    for sentence in ref['sentences']:
        if not isinstance(sentence, dict):
            raise ValueError(f'a sentence must be an object with sent_id and sent; got {told(sentence)}')
        if not _is_int(sentence.get('sent_id')):
            sentence['sent_id'] = whole_number(sentence.get('sent_id'), 'sent_id')
        if not isinstance(sentence.get('sent'), str) or not isinstance(sentence.get('raw', ''), str):
            raise ValueError(f'sent, and raw where it is there, must be strings; got {told(sentence)}')


def _is_int(x: Any) -> bool:
    return type(x) is int and abs(x) < 2**63


def _spend(path: Path, sizes: Iterable[int]) -> None:
    """In a pickle one list may stand in a million places, and refs may share a mask: a small file that grows without
    end when it is read out."""
    room = _REPEATS * path.stat().st_size
    for size in sizes:
        room -= size
        if room < 0:
            raise ValueError(f'{path}: the refs repeat themselves to more than {_REPEATS} times the size of the file')


def _ids(ref: dict) -> list[int]:
    return ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]


def _ann_ids(ref: dict) -> list[int]:
    """gRefCOCO has several, or -1 where the sentences have no target."""
    ids = _ids(ref)
    return [] if ref.get('no_target') or ids == [-1] else ids


_ID = re.compile(r'"id"\s*:\s*(\d{1,18})\b(?!\.)')


def _read_instances(
    path: Path, wanted: set[int]
) -> tuple[dict[int, tuple[str, tuple[int, int]]], dict[int, tuple[int | None, bytes]]]:
    """Names and sizes of all photos, and of the wanted annotations the photo and the packed mask, by id."""
    images: dict = {}
    annotations: dict = {}
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
            if not isinstance(item, dict):
                raise ValueError('no record with a number as id')
            number = whole_number(item['id'], 'id')
            if key == 'images':
                name = check_name(item['file_name'], may_be_absolute=True)
                _add(images, number, (name, pixel_size(item['height'], item['width'])))
            elif number in wanted:
                photo = None if item.get('image_id') is None else whole_number(item['image_id'], 'image_id')
                _add(annotations, number, (photo, pack_parts(safe_parts(item['segmentation']))))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f'it lacks {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'{path}: {key} of COCO instances, {str(item)[:80]}: {reason}') from error
    if 'images' not in seen or (wanted and 'annotations' not in seen):
        raise ValueError(f'{path}: expected COCO instances, lists images and annotations; found {sorted(seen)}')
    return images, annotations


def _add(items: dict, number: int, item: tuple) -> None:
    """The same again is no fault; another under the same id is."""
    if items.setdefault(number, item) != item:
        raise ValueError(f'another before it has the id {number}. Files that were joined need ids of their own')


def _require_own_photo(path: Path, refs: list[dict], annotations: dict[int, tuple[int | None, bytes]]) -> None:
    wrong = [(r, i) for r in refs for i in _ann_ids(r) if annotations[i][0] not in (None, r['image_id'])]
    if wrong:
        ref, i = wrong[0]
        raise ValueError(
            f'{path}: {len(wrong)} annotations are of another photo than their ref; the first is ann_id {i} of ref_id '
            f'{ref["ref_id"]}: image_id {annotations[i][0]} in instances.json, {ref["image_id"]} in the ref. Are refs '
            'and instances.json of the same data set?'
        )


def _joined(masks: list[bytes]) -> bytes:
    return masks[0] if len(masks) == 1 else pack_parts([part for mask in masks for part in unpack_parts(mask)])


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
