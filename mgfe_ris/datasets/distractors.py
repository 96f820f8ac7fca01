"""What is annotated of each object: its category, and how many others its sentences have to tell it from; and the masks
of all that is annotated in a photo."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Container
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ..output_files import whole_file
from .fields import whole_number
from .index import SharedIndex
from .json_stream import stream_lists
from .masks import Part, mask_parts
from .refer import read_refs


def distractors(index: SharedIndex, refs: Path, instances: Path) -> np.ndarray:
    """Counts for each object of an index; kept in the index's folder, since the files take seconds to read.

    Args:
        index: of these files.
        refs: RefCOCO's ``refs(<split_by>).p`` or ``.json``, or gRefCOCO's.
        instances: ``instances.json``.

    Returns:
        (objects, 2) int64: annotations of the photo that are not the object's own, and those of them of its category
        (of one of its categories, if it has several annotations); -1 if the file does not say the category. A crowd
        that COCO annotates as a whole counts as one.
    """
    return _read(index, refs, instances)['counts']


def categories(index: SharedIndex, refs: Path, instances: Path) -> tuple[np.ndarray, dict[int, str]]:
    """What each object of an index is; see :func:`distractors`.

    Returns:
        (objects,) int64: the category of the object's annotations, -1 if it has none, several, or the file does not
        say it; and the name of each, its number where the file has no name for it.
    """
    found = _read(index, refs, instances)
    known = np.unique(found['category'][found['category'] >= 0])
    names = dict(zip(found['category_id'].tolist(), found['category_name'].tolist(), strict=True))
    return found['category'], {number: names.get(number, str(number)) for number in known.tolist()}


def _read(index: SharedIndex, refs: Path, instances: Path) -> dict[str, np.ndarray]:
    """Of the index's folder, or, the first time, of the files."""
    kept = index.folder / 'annotated.npz'
    # not kept yet, or only a part was written
    with suppress(OSError, ValueError, EOFError, KeyError, BadZipFile), np.load(kept) as file:
        if (found := {name: file[name] for name in _KEPT})['counts'].shape == (len(index), 2):
            return found
    found = read_annotated(refs, instances)
    with suppress(OSError), whole_file(kept) as part, part.open('wb') as file:  # the folder may be another user's
        np.savez(file, **found)  # type: ignore[arg-type]
    return found


_KEPT = ('counts', 'category', 'category_id', 'category_name')


def read_annotated(refs: Path, instances: Path) -> dict[str, np.ndarray]:
    """An object per ref, in their order.

    Returns:
        ``counts`` as :func:`distractors` has them, ``category`` as :func:`categories` has them; and the file's list of
        ``category_id``, int64, and ``category_name``, text.
    """
    objects = read_refs(refs)
    annotated: dict[int, dict[int, int]] = defaultdict(dict)  # by photo: annotation -> category
    names: dict[int, str] = {}
    for key, member in stream_lists(instances, as_text=('annotations',)):
        if key == 'annotations' and (found := _ids(member)):
            annotated[found['image_id']][found['id']] = found.get('category_id', -1)
        elif key == 'categories' and isinstance(member, dict):
            with suppress(ValueError):  # its objects will have the number that they say
                number = whole_number(member.get('id'), 'id')
                names[number] = str(member.get('name') or number)
    rows = [_count(ref, annotated[ref['image_id']]) for ref in objects]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return dict(
        counts=table[:, :2],
        category=table[:, 2],
        category_id=np.array(list(names), np.int64),
        category_name=np.array(list(names.values()), np.str_),
    )


def _count(ref: dict, annotations: dict[int, int]) -> tuple[int, int, int]:
    """Others, others of the same category, and the category."""
    ids = ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]
    own = set() if ref.get('no_target') else annotations.keys() & set(ids)
    wanted = {annotations[i] for i in own}
    counts = Counter(category for i, category in annotations.items() if i not in own)
    same = -1 if -1 in wanted else sum(counts[category] for category in wanted)
    return counts.total(), same, wanted.pop() if len(wanted) == 1 else -1


def annotated_objects(instances: Path, photos: Container[int]) -> dict[int, list[list[Part]]]:
    """The masks of all objects that are annotated in these photos, whether refs point to them or not.

    Args:
        instances: ``instances.json``.
        photos: ids.

    Returns:
        by photo, of each object its parts, as they are in the file; a crowd that COCO annotates as a whole is none.

    Raises:
        ValueError: what is no annotation, or has no mask; it is named.
    """
    masks: dict[int, list[list[Part]]] = defaultdict(list)
    for key, text in stream_lists(instances, as_text=('annotations',)):
        if key == 'annotations' and (photo := _ids(text).get('image_id', -1)) in photos:
            try:
                item = json.loads(text)
                if not item.get('iscrowd'):
                    masks[photo].append(mask_parts(item.get('segmentation')))
            except ValueError as error:
                raise ValueError(f'{instances}: annotations, {text[:80]}: {error}') from error
    return masks


_ID = re.compile(r'"(id|image_id|category_id)"\s*:\s*(\d{1,18})\b(?!\.)')


def _ids(text: str) -> dict[str, int]:
    """Of an annotation's JSON; none of one that is not in order, which no ref points to."""
    pairs = _ID.findall(text)
    if len(pairs) == len({name for name, _ in pairs}) == 3:  # decoding takes ten times as long
        return {name: int(number) for name, number in pairs}
    with suppress(ValueError, RecursionError, AttributeError):  # AttributeError: no object
        item = json.loads(text)
        names = [name for name in ('id', 'image_id', 'category_id') if item.get(name) is not None]
        if names[:2] == ['id', 'image_id']:
            return {name: whole_number(item[name], name) for name in names}
    return {}
