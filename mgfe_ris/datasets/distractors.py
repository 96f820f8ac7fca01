"""Categories: how many other objects stand annotated beside each object, which its sentences have to tell it from."""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from .index import SharedIndex
from .json_stream import stream_lists
from .plain_pickle import load_plain_pickle, no_garbage


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
    kept = index.folder / 'distractors.npy'
    with suppress(OSError, ValueError, EOFError):  # not kept yet, or only a part was written
        if (found := np.load(kept)).shape == (len(index), 2):
            return found
    found = count_distractors(refs, instances)
    with suppress(OSError):  # the folder may be another user's
        with NamedTemporaryFile(dir=index.folder, suffix='.npy', delete=False) as file:
            np.save(file, found)
        os.replace(file.name, kept)
    return found


def count_distractors(refs: Path, instances: Path) -> np.ndarray:
    """See :func:`distractors`; an object per ref, in their order."""
    counts = [_count(ref, annotations) for ref, annotations in _annotated(refs, instances)]
    return np.array(counts, np.int64).reshape(-1, 2)


def read_categories(refs: Path, instances: Path) -> list[list[int]]:
    """The categories of each ref's annotations, each once; none where the file does not say any."""
    return [
        sorted({annotations[i] for i in _own(ref, annotations)} - {-1})
        for ref, annotations in _annotated(refs, instances)
    ]


def _annotated(refs: Path, instances: Path) -> Iterator[tuple[dict, dict[int, int]]]:
    """Each ref, and the category of each annotation of its photo, by id; -1: not said."""
    with no_garbage():
        objects = load_plain_pickle(refs) if refs.suffix == '.p' else json.loads(refs.read_bytes())
    categories: dict[int, dict[int, int]] = defaultdict(dict)
    for key, text in stream_lists(instances, as_text=('annotations',)):
        if key == 'annotations' and (found := _ids(text)):
            categories[found['image_id']][found['id']] = found.get('category_id', -1)
    return ((ref, categories[ref['image_id']]) for ref in objects)


def _own(ref: dict, annotations: dict[int, int]) -> set[int]:
    ids = ref['ann_id'] if isinstance(ref['ann_id'], list) else [ref['ann_id']]
    return set() if ref.get('no_target') else annotations.keys() & set(ids)


def _count(ref: dict, annotations: dict[int, int]) -> tuple[int, int]:
    own = _own(ref, annotations)
    wanted = {annotations[i] for i in own}
    counts = Counter(category for i, category in annotations.items() if i not in own)
    return counts.total(), -1 if -1 in wanted else sum(counts[category] for category in wanted)


_ID = re.compile(r'"(id|image_id|category_id)"\s*:\s*(\d{1,18})\b(?!\.)')


def _ids(text: str) -> dict[str, int]:
    """Of an annotation's JSON; none of one that is not in order, which no ref points to."""
    pairs = _ID.findall(text)
    if len(pairs) == len({name for name, _ in pairs}) == 3:  # decoding takes ten times as long
        return {name: int(number) for name, number in pairs}
    with suppress(ValueError, RecursionError):
        item = json.loads(text)
        if isinstance(item, dict) and all(type(item.get(name)) is int for name in ('id', 'image_id')):
            return {name: item[name] for name in ('id', 'image_id', 'category_id') if type(item.get(name)) is int}
    return {}
