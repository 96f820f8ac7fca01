"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Lines of a table, without a line's end after the last; a cell is a line, whatever is in it."""
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join(f'| {" | ".join(_cell(cell) for cell in line)} |' for line in lines)


def _cell(value: object) -> str:
    return ' '.join(str(value).replace('|', r'\|').split())
