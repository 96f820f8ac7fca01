"""Read RefCOCO's files as they are. No torch here, and no trust: the files come from mirrors of dead links."""

import io
import json
import pickle
from pathlib import Path
from typing import TypeGuard

# what is read of each record
_REF = ('ref_id', 'ann_id', 'image_id', 'split', 'sentences')
_SENTENCE = ('sent_id', 'raw', 'sent')
_COCO = {'images': ('id', 'file_name', 'height', 'width'), 'annotations': ('id', 'segmentation')}


class UnsafePickleError(ValueError):
    """A refs file that asks for more than containers, strings and numbers."""


class _PlainUnpickler(pickle.Unpickler):
    """Admits what the pickle opcodes build by themselves (None, bool, int, float, str, bytes, list, tuple, dict,
    set) and no class or function at all, so nothing in the file can run."""

    def find_class(self, module: str, name: str):
        raise UnsafePickleError(
            f'the file asks for {module}.{name}; a refs file holds only lists, dicts, strings and numbers. '
            'It was not loaded: get it from another source'
        )


def load_plain_pickle(path: str | Path) -> object:
    """Unpickle plain containers, strings and numbers.

    Raises:
        FileNotFoundError: no such file.
        UnsafePickleError: the file holds any other object, or is no whole pickle; nothing of it was run.
    """
    data = Path(path).read_bytes()
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding='utf-8').load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f'{path}: {error}') from None
    except Exception as error:
        raise UnsafePickleError(f'{path}: not a whole pickle file ({error})') from error


def load_refer(folder: str | Path, split_by: str) -> tuple[list[dict], dict]:
    """The refs and instances of one data set.

    Args:
        folder: holds ``refs(<split_by>).p`` and ``instances.json``.
        split_by: ``unc``, ``umd``, ``google``, ...

    Returns:
        the refs, as RefCOCO defines them, and instances.json, as COCO does.

    Raises:
        FileNotFoundError: the folder or one of the files is missing; the message lists what is there.
        UnsafePickleError: see :func:`load_plain_pickle`.
        ValueError: a file that is not of that form.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder. Set data_root to where the annotations lie')
    refs_file, instances_file = folder / f'refs({split_by}).p', folder / 'instances.json'
    for file in (refs_file, instances_file):
        if not file.is_file():
            there = sorted(p.name for p in folder.iterdir())
            raise FileNotFoundError(f'{file}: no such file. The folder holds {there}')
    refs = load_plain_pickle(refs_file)
    try:
        instances = json.loads(instances_file.read_bytes())
    except ValueError as error:  # of JSON, or of its encoding
        raise ValueError(f'{instances_file}: not JSON ({error})') from error
    if not _are_records(refs, _REF) or not refs or not all(_are_records(r['sentences'], _SENTENCE) for r in refs):
        raise ValueError(f'{refs_file}: expected a list of refs with {_REF}, and sentences with {_SENTENCE}')
    if not isinstance(instances, dict) or not all(_are_records(instances.get(k), _COCO[k]) for k in _COCO):
        raise ValueError(f'{instances_file}: expected COCO instances, lists by name with {_COCO}')
    return refs, instances


def _are_records(value: object, keys: tuple[str, ...]) -> TypeGuard[list[dict]]:
    return isinstance(value, list) and all(isinstance(r, dict) and r.keys() >= set(keys) for r in value)
