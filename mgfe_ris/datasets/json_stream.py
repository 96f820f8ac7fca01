"""A large JSON object or array, member by member, in little memory."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

_PIECE = 1 << 20
LONGEST = 1 << 23
"""Letters of a value, or a line: what is longer is no annotation of one photo."""
_BEHIND_A_VALUE = (',', ':', ']', '}', ' ', '\t', '\r', '\n')


def stream_lists(path: str | Path, as_text: Sequence[str] = ()) -> Iterator[tuple[str, Any]]:
    """``{"images": [a, b], "info": c}`` -> ``('images', a), ('images', b), ('info', c)``.

    Args:
        as_text: names whose members come as JSON text, for those who need few of them. Only brackets and quotes of such
            a text are sure to be in order.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a JSON object; what stood before the fault was given out already.
    """
    with _text_of(path) as text:
        yield from _members(text, as_text)


def stream_items(path: str | Path) -> Iterator[Any]:
    """``[a, b]`` -> ``a, b``; raises what :func:`stream_lists` does."""
    with _text_of(path) as text:
        text.expect('[')
        if not text.skip(']'):
            yield text.value()
            while text.skip(','):
                yield text.value()
            text.expect(']')
        text.end()


@contextmanager
def _text_of(path: str | Path) -> Iterator['_Text']:
    with open(path, encoding='utf-8') as file:
        try:
            yield _Text(file)
        except (ValueError, RecursionError) as error:  # of JSON, or of its encoding
            raise ValueError(f'{path}: not JSON ({error or "too deep"})') from error


def _members(text: '_Text', as_text: Sequence[str]) -> Iterator[tuple[str, Any]]:
    text.expect('{')
    if text.skip('}'):
        return text.end()
    while True:
        key = text.value()
        if not isinstance(key, str):
            raise ValueError(f'a name was expected, found {key!r}')
        text.expect(':')
        read = text.value_as_text if key in as_text else text.value
        if text.skip('['):
            if not text.skip(']'):
                while True:
                    yield key, read()
                    if not text.skip(','):
                        break
                text.expect(']')
        else:
            yield key, read()
        if not text.skip(','):
            break
    text.expect('}')
    text.end()


class _Text:
    """What is left of a file, a piece at a time."""

    def __init__(self, file: TextIO):
        self.file, self.text, self.at, self.ended = file, '', 0, False
        self.decoder = json.JSONDecoder()

    def more(self) -> None:
        left = self.text[self.at :]
        piece = self.file.read(max(_PIECE, len(left)))  # a value of many pieces is tried a few times only
        self.text, self.at, self.ended = left + piece, 0, not piece

    def peek(self) -> str:
        """The next character that is no space; '' at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in ' \t\r\n\ufeff':
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if self.ended:
                return ''
            self.more()

    def skip(self, character: str) -> bool:
        found = self.peek() == character
        self.at += found
        return found

    def expect(self, character: str) -> None:
        if not self.skip(character):
            raise ValueError(f'{character!r} was expected, found {self.peek()!r}')

    def end(self) -> None:
        if self.peek():
            raise ValueError(f'something follows the end: {self.peek()!r}')

    def value(self) -> Any:
        value, self.at = self._decode()
        return value

    def value_as_text(self) -> str:
        self.peek()
        end = self.text.find('}', self.at) + 1
        text = self.text[self.at : end]
        # an object without others inside needs no decoding to be found, which takes a tenth of the time
        if not (text[:1] == '{' and text.count('{') == 1 and text.count('"') % 2 == 0 and '\\' not in text):
            end = self._decode()[1]
            text = self.text[self.at : end]
        self.at = end
        return text

    def _decode(self) -> tuple[Any, int]:
        """The next value, and where it ends."""
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.at)
            except ValueError:
                if self.ended:
                    raise
                if len(self.text) - self.at > LONGEST:
                    raise ValueError(f'a value of more than {LONGEST:,} letters') from None
                self.more()
                continue
            # a number may go on in the next piece
            if self.ended or self.text[end : end + 1] in _BEHIND_A_VALUE:
                return value, end
            self.more()
