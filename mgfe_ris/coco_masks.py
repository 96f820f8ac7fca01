"""pycocotools' masks, imported when the first of its functions is asked for: what needs no run lengths runs without."""

from importlib import import_module
from typing import Any

_FUNCTIONS = ('area', 'decode', 'encode', 'frPyObjects', 'merge')


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f'module {__name__} has no attribute {name}')
    return getattr(_imported(), name)


def require_coco_masks() -> None:
    """Ahead of long work that needs them in the end.

    Raises:
        ImportError: they are not installed.
    """
    _imported()


def _imported() -> Any:
    try:
        return import_module('pycocotools.mask')
    except ImportError as error:
        raise ImportError(f'{error}, which masks are read and written with: pip install pycocotools') from error
