"""Metrics with their intervals, as Markdown."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np

from ..evaluation import Run, intervals, spread_over_seeds
from .markdown import markdown_table
from .results_report import Record

SHOWN = ('oIoU', 'mIoU', 'P@0.5', 'P@0.7', 'P@0.9')
INTERVAL = (
    'In brackets: the 95 % interval that other photos would give, by 10,000 draws of as many photos with replacement, '
    'all sentences about a photo together.'
)


def results_table(results: Mapping[str, Sequence[Record]]) -> str:
    """Lines of tests, by model -> :func:`metrics_table`, and below it what was tested; ``''`` for lines of
    :class:`mgfe_ris.evaluation.GeneralizedRefSegMetric`, whose figures have other names and rules."""
    if any('truth_pixels' in records[0] for records in results.values()):
        return ''
    rows = {name: measured([Run.of(0, records)]) for name, records in results.items()}
    first = next(iter(rows.values()))
    said = f'{first["sentences"]} sentences about {first["photos"]} photos.'
    return f'{metrics_table(rows, "model")}\n{said} {INTERVAL}'


def measured(runs: Sequence[Run]) -> dict[str, Any]:
    """How many ``seeds``, ``sentences`` and ``photos``, and in ``metrics``, by name, in percent, ``mean`` and ``std``
    over seeds (None of one), and ``low`` and ``high``, see :func:`mgfe_ris.evaluation.intervals`; ready for JSON.

    Raises:
        ValueError: runs of different samples.
    """
    spread, ends = spread_over_seeds(runs), intervals(runs)
    return dict(
        seeds=len(runs),
        sentences=len(runs[0].samples),
        photos=len(np.unique(runs[0].photos)),
        metrics={
            name: dict(mean=mean, std=None if isnan(std) else std, low=ends[name][0], high=ends[name][1])
            for name, (mean, std) in spread.items()
        },
    )


def metrics_table(rows: Mapping[str, Mapping[str, Any]], title: str, names: Sequence[str] = SHOWN) -> str:
    """Markdown: a row per name, with what :func:`measured` found."""
    cells = [[row, *(with_interval(found['metrics'][name]) for name in names)] for row, found in rows.items()]
    return markdown_table([title, *names], cells)


def with_interval(found: Mapping[str, float | None]) -> str:
    """``38.1 ± 0.7 (31.0 to 45.2)``, the deviation where there are several seeds."""
    std = '' if found['std'] is None else f' ± {found["std"]:.1f}'
    return f'{found["mean"]:.1f}{std} ({found["low"]:.1f} to {found["high"]:.1f})'
