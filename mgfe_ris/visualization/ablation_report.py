"""The table of an ablation as Markdown and as a picture."""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from .curves import read_scalars

COLUMNS = ('P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU')


def ablation_table(table: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of rows from :func:`mgfe_ris.evaluation.tabulate`.

    Each may also have ``params`` (millions), ``gflops``, ``minutes`` (of a training) and ``published`` (the paper's
    numbers by metric): what no row has is no column.
    """
    extra = {'params': 'Params (M)', 'gflops': 'GFLOPs', 'minutes': 'min'}
    extra = {key: title for key, title in extra.items() if any(row.get(key) is not None for row in table)}
    published = any(row.get('published') for row in table)
    header = ['', *COLUMNS, 'mIoU to the first row (95 %)', 'p', *extra.values()]
    header += [f'paper: {name}' for name in COLUMNS] * published
    lines = [header, ['---'] * len(header)]
    for row in table:
        cells = [row['row'], *(_with_std(row['metrics'][name], row['std'][name]) for name in COLUMNS)]
        cells += _difference(row['mIoU_difference'])
        cells += [_number(row.get(key), 2 if key != 'minutes' else 1) for key in extra]
        if published:
            cells += [_number((row.get('published') or {}).get(name), 2) for name in COLUMNS]
        lines.append(cells)
    return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines) + '\n'


def plot_ablation(table: Sequence[Mapping[str, Any]], title: str, out: str | Path) -> None:
    """A PNG: oIoU and mIoU of each row, mean and standard deviation; and how far mIoU is from the first row's."""
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.5 * len(table)), layout='constrained')
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(table))
    for name, colour, shift in (('oIoU', '#0072b2', -0.1), ('mIoU', '#d55e00', 0.1)):
        left.errorbar(
            [row['metrics'][name] for row in table],
            [place + shift for place in places],
            xerr=[0.0 if isnan(row['std'][name]) else row['std'][name] for row in table],
            fmt='o', capsize=4, color=colour, label=name,
        )  # fmt: skip
    left.set_yticks(places, [row['row'] for row in table])
    left.invert_yaxis()
    left.set(xlabel=f'%, mean and standard deviation of {len(table[0]["seeds"])} seeds')
    left.legend()
    for place, row in enumerate(table):
        found = row['mIoU_difference'] or dict(mean=0.0, low=0.0, high=0.0)
        ends = [[found['mean'] - found['low']], [found['high'] - found['mean']]]
        right.errorbar([found['mean']], [place], xerr=ends, fmt='s', capsize=4, color='#333333')
    right.axvline(0, color='#999999', linewidth=1)
    right.set(xlabel='mIoU to the first row, points; 95 % of paired draws of photos and seeds')
    for axes in (left, right):
        axes.grid(alpha=0.3, axis='x')
        axes.margins(y=0.15)
    figure.suptitle(title)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def plot_first_steps(rows: Mapping[str, Sequence[str | Path]], out: str | Path) -> None:
    """A PNG: training loss of each row over the logged steps, mean of its seeds, and their lowest and highest.

    In units of the first logged loss, so that rows with other losses lie in one picture.

    Args:
        rows: of each row, the work dirs of its runs.
        out: where to.
    """
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout='constrained')
    axes = figure.subplots()
    for row, work_dirs in rows.items():
        losses = [{r['step']: r['loss'] for r in read_scalars(folder) if 'loss' in r} for folder in work_dirs]
        steps = sorted(set.intersection(*map(set, losses)))
        values = np.array([[of_run[step] for step in steps] for of_run in losses])
        values /= values[:, :1]
        (line,) = axes.plot(steps, values.mean(0), label=row)
        axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set(xlabel='step', ylabel='training loss to the first logged', ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _with_std(value: float, std: float) -> str:
    return f'{value:.2f}' if isnan(std) else f'{value:.2f} ± {std:.2f}'


def _difference(found: Mapping[str, float] | None) -> list[str]:
    if found is None:
        return ['', '']
    p = f'{found["p"]:.3f}' if found['p'] >= 0.001 else '< 0.001'
    return [f'{found["mean"]:+.2f} ({found["low"]:+.2f} to {found["high"]:+.2f})', p]


def _number(value: float | None, digits: int) -> str:
    return '' if value is None else f'{value:.{digits}f}'
