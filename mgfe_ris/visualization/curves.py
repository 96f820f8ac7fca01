"""Training curves."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def read_scalars(work_dir: str | Path) -> list[dict]:
    """All scalars that the runs in ``work_dir`` logged, resumed ones included, oldest first.

    Raises:
        FileNotFoundError: if no run logged there.
    """
    return [row for rows in _read_runs(work_dir) for row in rows]


def _read_runs(work_dir: str | Path) -> list[list[dict]]:
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'{work_dir}: no */vis_data/scalars.json; is it the work dir of a training?')
    # a run that was killed may leave half a line
    return [[json.loads(line) for line in file.read_text().splitlines() if line.endswith('}')] for file in files]


SUFFIXES = ('.png', '.jpg', '.pdf', '.svg')


def plot_curves(work_dir: str | Path, out: str | Path) -> None:
    """Draw losses and learning rate over iterations, and what validations measured over epochs, or over iterations,
    where the training counts those.

    All that is called a loss, and all metrics, by whatever name; those that are no percentages have a panel of their
    own.

    Raises:
        FileNotFoundError: no run logged in ``work_dir``.
        ValueError: ``out`` is called otherwise than a picture.
    """
    if Path(out).suffix.lower() not in SUFFIXES:  # matplotlib would write to a file of another name
        raise ValueError(f'--out {out}: a picture ends in {", ".join(SUFFIXES)}; for one, {out}.png')
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    runs = _read_runs(work_dir)
    training = [row for rows in runs for row in rows if _is_training(row)]
    validation, counted = _validations(runs)
    metrics = _keys(validation, lambda key: key not in _NO_METRICS)
    percentages = [key for key in metrics if _is_percentage(key, validation, metrics)]
    others = [key for key in metrics if key not in percentages]
    rows = -(-(3 + len(others)) // 3)
    figure = Figure(figsize=(13, 3.6 * rows), layout='constrained')
    loss, metric, rate, *rest = figure.subplots(rows, 3, squeeze=False).flat
    _draw(loss, training, 'step', _keys(training, lambda key: 'loss' in key.lower()), title='Training loss')
    _draw(metric, validation, 'x', percentages, marker='o', title='Validation', xlabel=counted, ylabel='%')
    _draw(rate, training, 'step', _keys(training, _is_rate), title='Learning rate')
    metric.set_ylim(0, max(100, *(row[key] for row in validation for key in percentages if key in row), 0))
    for axes, key in zip(rest, others, strict=False):
        _draw(axes, validation, 'x', [key], marker='o', title=f'Validation: {key}', xlabel=counted)
    for axes in (metric, *rest):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in rest[len(others) :]:
        figure.delaxes(axes)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


_NO_METRICS = ('x', 'step', 'time', 'data_time', 'memory', 'P@0.6', 'P@0.8')
"""The last two would only fill the panel."""
_PERCENTAGE = re.compile(r'iou|dice|acc|fscore|precision|recall|^pr?@', re.IGNORECASE)


def _is_training(row: dict) -> bool:
    return not row.keys().isdisjoint(('lr', 'base_lr', 'iter', 'epoch'))


def _is_rate(key: str) -> bool:
    return re.split(r'[./]', key)[-1] == 'lr'  # with the optimizer's name ahead where there are several


def _keys(rows: Iterable[dict], wanted: Any) -> list[str]:
    """Names of numbers, in the order of their first lines."""
    names = {key: None for row in rows for key, value in row.items() if isinstance(value, (int, float))}
    return [key for key in names if wanted(key)]


def _validations(runs: Sequence[Sequence[dict]]) -> tuple[list[dict], str]:
    """Their rows with an ``x``, and what that counts: ``epoch`` or ``iteration``.

    A training by epochs logs as its step the epoch. One by iterations logs how often the data were gone through before,
    or, by an option, the iteration; the line of training ahead of it tells which.
    """
    found, by_epoch = [], True
    for rows in runs:
        last: dict = {}
        for row in rows:
            if _is_training(row):
                last = row
            elif 'step' in row:
                iteration, epoch = last.get('step', 0), last.get('epoch', 0)
                found.append((row, iteration))
                by_epoch &= not (row['step'] < epoch or row['step'] >= iteration > epoch)
    if by_epoch:
        return [{**row, 'x': row['step']} for row, _ in found], 'epoch'
    return [{**row, 'x': max(row['step'], iteration)} for row, iteration in found], 'iteration'


def _is_percentage(key: str, rows: Sequence[dict], metrics: Sequence[str]) -> bool:
    """By its name, unless it and all others of its evaluator lie in [0, 1]."""
    prefix, _, name = key.rpartition('/')
    if not _PERCENTAGE.search(name):
        return False
    group = [other for other in metrics if other.rpartition('/')[0] == prefix and _PERCENTAGE.search(other)]
    return any(row.get(other, 0) > 1 for row in rows for other in group)


def _draw(
    axes: Any, rows: Sequence[dict], x: str, keys: Iterable[str], marker: str | None = None, **texts: str
) -> None:
    lowest = 0.0
    for key in keys:
        places, values = _series(rows, x, key)
        axes.plot(places, values, marker=marker, markersize=3, label=key)
        lowest = min([lowest, *values])
    axes.set(**{'xlabel': 'iteration', **texts})
    if lowest == 0:
        axes.set_ylim(0, None)
    if axes.get_lines():
        axes.legend(fontsize='small')
    axes.grid(alpha=0.3)


def _series(rows: Iterable[dict], x: str, y: str) -> tuple[list[float], list[float]]:
    # a resumed run logs some steps again: the later line holds
    points = {row[x]: row[y] for row in rows if x in row and y in row}
    return sorted(points), [points[key] for key in sorted(points)]
