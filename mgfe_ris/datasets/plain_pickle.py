"""Pickles of strangers: containers, strings and numbers, and nothing that could run."""

import gc
import io
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .numpy_scalars import SCALARS


class UnsafePickleError(ValueError):
    """A refs file that asks for more than containers, strings and numbers."""


class _PlainUnpickler(pickle.Unpickler):
    """Admits what the pickle opcodes build by themselves (None, bool, int, float, str, bytes, list, dict), numpy's
    numbers by stand-ins of ours, and no other class or function at all, so nothing in the file can run."""

    def find_class(self, module: str, name: str):
        if (module, name) in SCALARS:
            return SCALARS[module, name]
        raise UnsafePickleError(_asks_for(f'{module}.{name}'))


def _asks_for(what: str) -> str:
    return (
        f'the file asks for {what}; a refs file holds only lists, dicts, strings and numbers. '
        'It was not loaded: get it from another source'
    )


def load_plain_pickle(path: str | Path) -> Any:
    """Unpickle lists, dicts, strings and numbers; numpy's numbers and strings become Python's.

    Raises:
        FileNotFoundError: no such file.
        UnsafePickleError: the file holds any other object, or is no whole pickle; nothing of it was run.
    """
    data = Path(path).read_bytes()
    try:
        _scan(data)
        with no_garbage():
            return _PlainUnpickler(io.BytesIO(data), encoding='utf-8').load()
    except UnsafePickleError as error:
        raise UnsafePickleError(f'{path}: {error}') from None
    except Exception as error:
        raise UnsafePickleError(f'{path}: not a whole pickle file ({error})') from error


@contextmanager
def no_garbage() -> Iterator[None]:
    """Python would look for garbage among a million new lists again and again, a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# The opcodes by the bytes that follow them: a number of bytes, or ...
_SIZES = {
    **dict.fromkeys(b'(]}delasuN01\x88\x89\x94', 0),
    **dict.fromkeys(b'Kqh\x80', 1),
    **dict.fromkeys(b'M', 2),
    **dict.fromkeys(b'Jjr', 4),
    **dict.fromkeys(b'G\x95', 8),
}
# ... a length of so many bytes and then as much, or a line
_LENGTHS = {**dict.fromkeys(b'UC\x8a\x8c', 1), **dict.fromkeys(b'TBX', 4), **dict.fromkeys(b'\x8d\x8e', 8)}
_LINES = b'ILFSVpg'
# Only what numpy's numbers need: a name in two lines or from the stack, and tuples at once handed to a call
_NAME, _NAME_OF_STACK, _OTHER_NAME = ord('c'), 0x93, ord('i')
_CALL = re.compile(rb'[)t\x85\x86\x87](?:q.|(r....)|(p[0-9]{1,9}\n)|\x94)?[Rb]', re.DOTALL)
# With the opcode: numbers of 73 bits, as longer ones can be chosen to be equal where a dict looks for them
_LONGEST = {ord('I'): 24, ord('L'): 25, ord('F'): 40, 0x8A: 11}
_NUMBERED = bytes([*_LONGEST, ord('r'), ord('p')])
# Runs of what fills a file, short strings included: seen by `re`, five times as fast as by a loop
_SHORT = b'|'.join(re.escape(bytes([n])) + rb'\0\0\0' + b'.{%d}' % n for n in range(32))
_RUN = rb'(?:q.|h.|[\](}eus]|K.|r..[\0-\x%02x]\0|M..|j....|J....|X(?:' + _SHORT + rb')){0,500}'


def _scan(data: bytes) -> None:
    """Refuse what would hang or fill the memory: tuples (as keys, nested ones are hashed for ever) but those that numpy
    makes numbers of, numbers of any length, lengths and places in the memo beyond the file.

    It ends where the file asks for a class or function that the unpickler refuses."""
    places = min(255, len(data) >> 16)  # of the memo, in 65,536
    run = re.compile(_RUN % places, re.DOTALL)
    at = 0
    asked = ''
    while True:
        at = run.match(data, at).end()  # type: ignore[union-attr]
        code = data[at]
        if code in _SIZES:
            end = at + 1 + _SIZES[code]
        elif code in _LENGTHS:
            start = at + 1 + _LENGTHS[code]
            end = start + int.from_bytes(data[at + 1 : start], 'little')
        elif code in _LINES:
            end = data.index(b'\n', at) + 1
        elif code == ord('.') or code == _OTHER_NAME:
            return
        elif code == _NAME:
            end = data.index(b'\n', data.index(b'\n', at) + 1) + 1
            if tuple(data[at + 1 : end - 1].decode('latin1').split('\n')) not in SCALARS:
                return
        elif code == _NAME_OF_STACK:
            end = at + 1  # what it is shows when it is read; it is told if what follows is refused
            asked = asked or _name_before(data, at)
        else:
            end = _end_of_call(data, at, asked)
        if end >= len(data):
            raise ValueError('it ends in the middle')
        if code in _NUMBERED:
            _check_number(data, at, end, code, len(data))
        at = end


def _end_of_call(data: bytes, at: int, asked: str) -> int:
    """After a tuple and the call that takes it; raises UnsafePickleError where there is none."""
    if call := _CALL.match(data, at):
        for memo in filter(None, call.groups()):
            _check_number(memo, 0, len(memo), memo[0], len(data))
        return call.end()
    if asked:
        raise UnsafePickleError(_asks_for(asked))
    raise UnsafePickleError(f'not a whole pickle of lists, dicts, strings and numbers (byte {data[at]} at {at})')


def _check_number(data: bytes, at: int, end: int, code: int, length: int) -> None:
    """Of the opcode there, of a file of that length."""
    place = int.from_bytes(data[at + 1 : end], 'little') if code == ord('r') else 0
    if code == ord('p'):
        place = int(data[at + 1 : end])
    if place > length or end - at > _LONGEST.get(code, end):
        raise ValueError('it has numbers that no refs file has')


def _name_before(data: bytes, at: int) -> str:
    """The two strings there, if they are no name that is admitted; for the error alone."""
    found = re.search(rb'\x8c.([\w.]+)\x94?\x8c.([\w.]+)\x94?$', data[max(0, at - 600) : at], re.DOTALL)
    names = tuple(found[i].decode('latin1') for i in (1, 2)) if found else ()
    return '' if not found or names in SCALARS else '.'.join(names)
