"""``key=value`` as ``--cfg-options`` takes it."""

import ast
from collections.abc import Iterator, Sequence
from typing import Any

OPEN, CLOSE, QUOTES = '([', ')]', '\'"'


def parse_options(texts: Sequence[str]) -> dict[str, tuple[Any, str]]:
    """Keys with their values, and the texts of these.

    Values are 1, 0.5, True, None or words; 1,2 and [1,2] are lists, (1,2) is a tuple; dict(...) and lists of them are
    settings as in a config. All else is kept as it is,
    blanks, brackets and signs of a path included; in quotes a comma is, too.

    Raises:
        ValueError: a text that is no ``key=value``, or brackets or quotes without their other half.
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition('=')
        if not key or not equals:
            raise ValueError(f'--cfg-options {text}: expected key=value')
        try:
            options[key] = (_parse(value), value)
        except ValueError as error:
            raise ValueError(f'--cfg-options {text}: {error}') from error
    return options


def _parse(text: str) -> Any:
    """A list, where commas stand outside of brackets and quotes; else one value."""
    word = text.strip()
    if word.startswith(('{', 'dict(', '[{', '[dict(')):
        return _settings(word)
    if not any(mark in word for mark in ',([') or _is_quoted(word):
        return _plain(text)
    if _is_unbalanced(word):
        if ',' not in word and word[0] not in OPEN:
            return _plain(text)
        raise ValueError('Imbalanced brackets; a text with brackets or commas needs quotes: key=\'"a, (b"\'')
    if word[0] in OPEN and len(list(_pieces(word, ''))) == 1:
        items = [_parse(piece.strip()) for piece in _pieces(word[1:-1], ',')]
        return tuple(items) if word[0] == '(' else items
    pieces = list(_pieces(word, ','))
    return [_parse(piece.strip()) for piece in pieces] if len(pieces) > 1 or word[-1] == ',' else _plain(text)


def _settings(word: str) -> Any:
    """``dict(type='EMAHook')``, or a list of such, as configs have them; nothing of it is run."""
    try:
        return _value(ast.parse(word, mode='eval').body)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"expected settings as in a config, such as dict(type='EMAHook') ({error})") from error


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
        return {str(item.arg): _value(item.value) for item in node.keywords}
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(item) for key, item in zip(node.keys, node.values, strict=True) if key}
    return ast.literal_eval(node)


def _plain(text: str) -> Any:
    word = text.strip()
    if _is_quoted(word):
        return word[1:-1]
    for number in (int, float):
        try:
            return number(word)
        except ValueError:
            continue
    return {'true': True, 'false': False}.get(word.lower(), None if word == 'None' else text)


def _is_quoted(word: str) -> bool:
    """The first mark ends at the last one."""
    return len(word) > 1 and word[0] in QUOTES and word.find(word[0], 1) == len(word) - 1


def _is_unbalanced(text: str) -> bool:
    """Whether a bracket or a quote is left open, or closed without having been opened."""
    try:
        list(_pieces(text, ','))
    except ValueError:
        return True
    return False


def _pieces(text: str, separator: str) -> Iterator[str]:
    """Cut at the separator, where no bracket and no quote is open; '' cuts after a bracket that closes the first one.

    A quote opens at the begin of a piece only: within a word, it is an apostrophe.

    Raises:
        ValueError: brackets or quotes without their other half.
    """
    expected: list[str] = []
    quote, start = '', 0
    for i, sign in enumerate(text):
        if quote:
            quote = '' if sign == quote else quote
        elif sign in QUOTES and not text[start:i].strip(' ([,'):
            quote = sign
        elif sign in OPEN:
            expected.append(CLOSE[OPEN.index(sign)])
        elif sign in CLOSE:
            if not expected or expected.pop() != sign:
                raise ValueError(f'{sign} without its other half')
            if not expected and not separator and i + 1 < len(text):
                yield text[start : i + 1]
                start = i + 1
        elif sign == separator and not expected:
            yield text[start:i]
            start = i + 1
    if expected or quote:
        raise ValueError(f'{expected[-1] if expected else quote} is missing')
    if text[start:].strip():
        yield text[start:]
