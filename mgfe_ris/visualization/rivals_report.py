"""The table of systems as Markdown, inside of a page, with CSV and JSON beside it."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..output_files import whole_file
from .markdown import markdown_table
from .marked_page import write_between_marks

_COLUMNS = {
    'oIoU': ('oIoU', 1),
    'mIoU': ('mIoU', 1),
    'own_mIoU': ('mIoU, own protocol', 1),
    'exchanged': ('oIoU, sentences exchanged', 1),
    'learned': ('learned', 0),
    'params': ('parameters (M)', 2),
    'photo_ms': ('ms per photo', 1),
    'step_ms': ('ms per training step', 0),
    'input': ('input (px)', 0),
    'steps': ('steps', 0),
}
"""Of each column, what is written above it, and digits."""


def write_rivals(rows: Sequence[Mapping[str, Any]], about: Sequence[str], page: str | Path, report: Mapping) -> None:
    """The table into a page, between its marks; and ``<page>.csv``, ``<page>.json``.

    Args:
        rows: of each system ``system`` and the columns; what is lacking, is not known.
        about: lines below the table: how it was made.
        page: Markdown; made where there is none.
        report: what the JSON holds.
    """
    page = Path(page)
    text = '\n'.join([rivals_table(rows), *(f'{line}\n' for line in about)])
    write_between_marks(page, text, title='Systems side by side')
    with whole_file(page.with_suffix('.json')) as part:
        part.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    with whole_file(page.with_suffix('.csv')) as part, open(part, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, ['system', *_COLUMNS], extrasaction='ignore')
        writer.writeheader()
        writer.writerows(rows)


def rivals_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    header = ['system', *(title for title, _ in _COLUMNS.values())]
    cells = [[row['system'], *(_cell(row.get(key), digits) for key, (_, digits) in _COLUMNS.items())] for row in rows]
    return markdown_table(header, cells) + '\n'


def _cell(value: Any, digits: int) -> str:
    if value is None:
        return ''
    return value if isinstance(value, str) else f'{value:.{digits}f}'
