"""What numpy's numbers and strings ask a pickle for, made of Python alone: nothing of numpy is called."""

import struct
from collections.abc import Callable
from typing import Any, NoReturn

_FORMATS = {
    'b1': '?', 'i1': 'b', 'i2': 'h', 'i4': 'i', 'i8': 'q', 'u1': 'B', 'u2': 'H', 'u4': 'I', 'u8': 'Q',
    'f2': 'e', 'f4': 'f', 'f8': 'd',
}  # fmt: skip
_LONGEST_STRING = 1 << 16


class _Kind:
    """Stands for ``numpy.dtype`` of one number or string."""

    __slots__ = ('name', 'order')

    def __init__(self, name: str):
        self.name, self.order = name, '='

    def __setstate__(self, state: Any) -> None:
        """Of (version, order of bytes, ...), the rest of which only arrays need."""
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '|', '='):
            raise ValueError('it has a kind of number that numpy does not write')
        self.order = '<' if state[1] == '|' else state[1]


class _Stand:
    """A function that a pickle may call, and can do nothing else with."""

    __slots__ = ('make',)
    make: Callable

    def __init__(self, make: Callable):
        object.__setattr__(self, 'make', make)

    def __call__(self, *args: Any) -> Any:
        return self.make(*args)

    def __setattr__(self, *_: Any) -> NoReturn:
        raise ValueError('a pickle of numbers changes no function')

    __setstate__ = __setattr__


def _dtype(name: Any, align: Any = False, copy: Any = True) -> _Kind:
    if name not in _FORMATS and not (
        isinstance(name, str) and name[:1] == 'U' and name[1:].isascii() and name[1:].isdigit()
    ):
        raise ValueError(f'it holds numpy objects other than numbers and strings ({name!r:.20})')
    return _Kind(name)


def _scalar(kind: Any, raw: Any) -> Any:
    raw = raw.encode() if isinstance(raw, str) else raw  # Python 2's
    if not isinstance(kind, _Kind) or not isinstance(raw, bytes):
        raise ValueError('it has a number that numpy does not write')
    if kind.name in _FORMATS:
        return struct.unpack(kind.order + _FORMATS[kind.name], raw)[0]
    if len(raw) > _LONGEST_STRING:
        raise ValueError('it has a string that no refs file has')
    return raw.decode('utf-32-be' if kind.order == '>' else 'utf-32-le').rstrip('\0')


def _no_bytes() -> bytes:
    return b''


def _encode(text: Any, encoding: Any) -> bytes:
    """As protocols before 3 write bytes."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise ValueError('it has bytes that no pickle of numbers has')
    return text.encode('latin1')


SCALARS = {
    ('numpy', 'dtype'): _Stand(_dtype),
    ('_codecs', 'encode'): _Stand(_encode),
    ('__builtin__', 'bytes'): _Stand(_no_bytes),
    **{(f'numpy.{core}.multiarray', 'scalar'): _Stand(_scalar) for core in ('core', '_core')},
}
"""By module and name."""
