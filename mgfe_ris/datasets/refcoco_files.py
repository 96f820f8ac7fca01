"""Read RefCOCO's files as they are. No torch here, and no trust: the files come from mirrors of dead links."""

import io
import json
import pickle
from pathlib import Path


class UnsafePickleError(pickle.UnpicklingError):
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
    except json.JSONDecodeError as error:
        raise ValueError(f'{instances_file}: not JSON ({error})') from error
    if not isinstance(refs, list) or not refs or not isinstance(refs[0], dict) or 'sentences' not in refs[0]:
        raise ValueError(f'{refs_file}: expected a list of refs with ann_id, split, sentences, ...')
    if not isinstance(instances, dict) or not {'images', 'annotations'} <= instances.keys():
        raise ValueError(f'{instances_file}: expected COCO instances with images and annotations')
    return refs, instances
