"""Pickles of strangers: containers, strings and numbers, and nothing that could run."""

import io
import pickle
from pathlib import Path


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
