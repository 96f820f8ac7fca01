"""Markdown pages of which a command writes a part: what stands between two marks."""

from pathlib import Path

from ..output_files import require_file, whole_file

BEGIN, END = '<!-- the table begins -->', '<!-- the table ends -->'
"""Lines of a page between which the table stands."""


def check_page(page: str | Path) -> None:
    """Look whether :func:`write_between_marks` could write into a page; one that is not there, it makes.

    Raises:
        ValueError: it has not both marks, once each, in their order; it is a folder, or lies below a file.
        OSError: nothing can be written there.
    """
    require_file('--page', page)
    if Path(page).is_file():
        _parts_of(Path(page))


def write_between_marks(page: str | Path, text: str, title: str) -> None:
    """Put ``text`` between the marks; a page that is not there is made, and begins with ``title``."""
    page = Path(page)
    head, tail = _parts_of(page) if page.is_file() else (f'# {title}\n\n', '\n')
    with whole_file(page) as part:
        part.write_text(f'{head}{BEGIN}\n{text}\n{END}{tail}', encoding='utf-8')


def _parts_of(page: Path) -> tuple[str, str]:
    """What stands ahead of the first mark, and after the last."""
    text = page.read_text(encoding='utf-8')
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f'{page}: expected the lines {BEGIN} and {END}, once each, between which the table is written')
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
