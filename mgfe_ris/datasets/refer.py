"""RefCOCO's form of annotations -> records.

No torch here, and no trust: the files come from mirrors of dead links.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .fields import is_whole, pixel_size, safe_parts
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


_REF = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
_SENTENCE = ('sent_id', 'sent')
_REPEATS = 16


def _check_refs(path: Path, refs: Any) -> None:
    if not isinstance(refs, list) or not refs or not all(map(_is_ref, refs)):
        raise ValueError(_NO_REFS.format(path))
    _spend(path, (len(ref['sentences']) + len(_ids(ref)) for ref in refs))
    if not all(all(map(is_whole, _ids(ref))) and all(map(_is_sentence, ref['sentences'])) for ref in refs):
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
        and all(is_whole(ref[key]) for key in ('ref_id', 'image_id'))
        and isinstance(ref['split'], str)
        and isinstance(ref['sentences'], list)
    )


def _is_sentence(sentence: Any) -> bool:
    return (
        isinstance(sentence, dict)
        and is_whole(sentence.get('sent_id'))
        and isinstance(sentence.get('sent'), str)
        and isinstance(sentence.get('raw', ''), str)
    )


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
            if not isinstance(item, dict) or not is_whole(item['id']):
                raise ValueError('no record with a number as id')
            if key == 'images':
                images[item['id']] = check_name(item['file_name']), pixel_size(item['height'], item['width'])
            elif item['id'] in wanted:
                annotations[item['id']] = pack_parts(safe_parts(item['segmentation']))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            reason = f'it lacks {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'{path}: {key} of COCO instances, {str(item)[:80]}: {reason}') from error
    if 'images' not in seen or (wanted and 'annotations' not in seen):
        raise ValueError(f'{path}: expected COCO instances, lists images and annotations; found {sorted(seen)}')
    return images, annotations


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
