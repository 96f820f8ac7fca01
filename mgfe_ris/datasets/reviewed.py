"""Lists of annotations that a review found wrong, as of RefCOCO's by Ref-L4."""

import json
from pathlib import Path

import numpy as np

from .index import SharedIndex

KINDS = ('ref_id', 'sent_id')


def read_excluded(path: Path) -> dict[str, list[int]]:
    """``{"ref_id": [...], "sent_id": [...]}``, or one of them -> both.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file of another form, or without any id.
    """
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file. exclude is a file in data_root, or a whole path')
    try:
        ids = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{path}: not JSON ({error})') from error
    lists = list(ids.values()) if isinstance(ids, dict) and ids.keys() <= set(KINDS) else []
    numbers = [i for one in lists if isinstance(one, list) for i in one]
    if not numbers or not all(isinstance(one, list) for one in lists) or any(map(_is_no_id, numbers)):
        raise ValueError(f'{path}: expected {{"ref_id": [...], "sent_id": [...]}} with whole numbers, at least one')
    return {kind: ids.get(kind, []) for kind in KINDS}


def excluded_sentences(index: SharedIndex, ids: dict[str, list[int]], path: Path) -> np.ndarray:
    """Of each sentence of an index, bool: whether it is listed, or its object is.

    Raises:
        ValueError: ids that no ref or sentence of any split has: the list is of other data; or a sent_id that several
            sentences have.
    """
    found = {kind: np.unique(np.array(ids[kind], np.int64)) for kind in KINDS}
    for kind, listed in found.items():
        if len(unknown := listed[~np.isin(listed, getattr(index, kind))]):
            raise ValueError(
                f'{path}: {len(unknown)} of {len(listed)} are no {kind} of this data set; the first is {kind} '
                f'{unknown[0]}. Is the list of this data set, and of this split_by?'
            )
    ids_found, times = np.unique(index.sent_id[np.isin(index.sent_id, found['sent_id'])], return_counts=True)
    if (times > 1).any():
        repeated = ids_found[times > 1]
        raise ValueError(
            f'{path}: {len(repeated)} of {len(ids_found)} are a sent_id of several sentences; the first '
            f'is sent_id {repeated[0]}. Give each sentence an id of its own, or list ref_id'
        )
    of_object = np.isin(index.ref_id, found['ref_id'])
    return np.isin(index.sent_id, found['sent_id']) | np.repeat(of_object, index.sentence_end - index.sentence_start)


def _is_no_id(x: object) -> bool:
    return type(x) is not int or abs(x) >= 2**63
