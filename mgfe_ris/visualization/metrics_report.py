"""Metrics with their intervals, as Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from .markdown import markdown_table

SHOWN = ('oIoU', 'mIoU', 'P@0.5', 'P@0.7', 'P@0.9')
INTERVAL = (
    'In brackets: the 95 % interval that other photos would give, by 10,000 draws of as many photos with replacement, '
    'all sentences about a photo together.'
)


def results_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What :func:`mgfe_ris.evaluation.measured` found, by model -> :func:`metrics_table`, and what was tested."""
    first = next(iter(rows.values()))
    said = f'{first["sentences"]} sentences about {first["photos"]} photos.'
    return f'{metrics_table(rows, "model")}\n{said} {INTERVAL}'


def metrics_table(rows: Mapping[str, Mapping[str, Any]], title: str, names: Sequence[str] = SHOWN) -> str:
    """Markdown: a row per name, with what :func:`mgfe_ris.evaluation.measured` found."""
    cells = [[row, *(with_interval(found['metrics'][name]) for name in names)] for row, found in rows.items()]
    return markdown_table([title, *names], cells)


def with_interval(found: Mapping[str, float | None]) -> str:
    """``38.1 ± 0.7 (31.0 to 45.2)``, the deviation where there are several seeds."""
    std = '' if found['std'] is None else f' ± {found["std"]:.1f}'
    return f'{found["mean"]:.1f}{std} ({found["low"]:.1f} to {found["high"]:.1f})'
