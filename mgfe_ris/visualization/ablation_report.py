"""The table of an ablation as Markdown, CSV and pictures."""

import csv
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .curves import read_scalars
from .markdown import markdown_table

STEPS = 500
"""Of training, that the curve of the first steps shows."""


def write_ablation(table: Sequence[Mapping[str, Any]], out: str | Path, title: str, about: Sequence[str]) -> None:
    """``<out>.md``, ``<out>_summary.csv`` and ``<out>.png``.

    Args:
        table: rows from :func:`mgfe_ris.evaluation.tabulate`. Each may also have ``params`` (millions), ``gflops``,
            ``ms`` (of a training step), ``published`` (the paper's numbers by metric) and ``published_on`` (what data).
        out: path without suffix.
        title: of all of them.
        about: lines below the table: how it was made.
    """
    out = Path(out)
    lines = [f'# {title}', '', ablation_table(table), *(f'{line}\n' for line in about)]
    out.with_name(f'{out.name}.md').write_text('\n'.join(lines), encoding='utf-8')
    _write_summary(table, out.with_name(f'{out.name}_summary.csv'))
    plot_ablation(table, title, out.with_name(f'{out.name}.png'))


def ablation_table(table: Sequence[Mapping[str, Any]]) -> str:
    """Markdown of the rows of :func:`write_ablation`: what no row has is no column."""
    extra = {'params': 'Params (M)', 'gflops': 'GFLOPs', 'ms': 'ms/step'}
    extra = {key: name for key, name in extra.items() if any(row.get(key) is not None for row in table)}
    published = any(row.get('published') for row in table)
    names, seeds = list(table[0]['metrics']), table[0]['seeds']
    header = ['row', *names, f'mIoU less that of {table[0]["row"]} (95 %)', 'p']
    header += ['seed by seed'] * (len(seeds) > 1) + list(extra.values())
    if published:
        header += [f'paper, {table[0]["published_on"]}: {name}' for name in names]
    lines = []
    for row in table:
        cells = [row['row'], *(_with_std(row['metrics'][name], row['std'][name]) for name in names)]
        cells += _difference(row['mIoU_difference'], len(seeds) > 1)
        cells += [_number(row.get(key), 0 if key == 'ms' else 2) for key in extra]
        if published:
            cells += [_number((row.get('published') or {}).get(name), 2) for name in names]
        lines.append(cells)
    return markdown_table(header, lines) + '\n'


def _write_summary(table: Sequence[Mapping[str, Any]], path: Path) -> None:
    """A line per row, of all that the Markdown shows, unrounded."""
    names = list(table[0]['metrics'])
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        header = ['row', 'seeds', *(f'{name} {part}' for name in names for part in ('mean', 'std'))]
        header += ['mIoU difference', 'low', 'high', 'p', 'params', 'gflops', 'ms']
        writer.writerow([*header, 'paper on', *(f'paper {name}' for name in names)])
        for row in table:
            found, published = row['mIoU_difference'] or {}, row.get('published') or {}
            cells = [row['row'], len(row['seeds'])]
            cells += [value for name in names for value in (row['metrics'][name], row['std'][name])]
            cells += [found.get(key) for key in ('mean', 'low', 'high', 'p')]
            cells += [row.get(key) for key in ('params', 'gflops', 'ms')]
            writer.writerow([*cells, row.get('published_on'), *(published.get(name) for name in names)])


def plot_ablation(table: Sequence[Mapping[str, Any]], title: str, out: str | Path) -> None:
    """A PNG: metrics of each row, mean and standard deviation over seeds; and its mIoU less that of the first row."""
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    seeds = len(table[0]['seeds'])
    figure = Figure(figsize=(14, 2 + 0.5 * len(table)), layout='constrained')
    left, middle, right = figure.subplots(1, 3, sharey=True)
    _plot_metrics(left, table, ('oIoU', 'mIoU'))
    _plot_metrics(middle, table, ('P@0.5', 'P@0.7', 'P@0.9'))
    left.set_yticks(range(len(table)), [row['row'] for row in table])
    left.invert_yaxis()
    for place, row in enumerate(table):
        found = row['mIoU_difference'] or dict(mean=0.0, low=0.0, high=0.0, of_seeds=())
        ends = [[found['mean'] - found['low']], [found['high'] - found['mean']]]
        right.plot(found['of_seeds'], [place + 0.2] * len(found['of_seeds']), '|', color='#d55e00')
        right.errorbar([found['mean']], [place], xerr=ends, fmt='s', capsize=4, color='#333333')
    right.axvline(0, color='#999999', linewidth=1)
    interval = '95 % interval; strokes: seed by seed' if seeds > 1 else '95 % interval over photos'
    right.set(xlabel=f'mIoU less that of {table[0]["row"]}, points\n{interval}')
    for axes in (left, middle, right):
        axes.grid(alpha=0.3, axis='x')
        axes.margins(y=0.15)
    figure.suptitle(title)
    _save(figure, out)


def _plot_metrics(axes: Any, table: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    seeds = len(table[0]['seeds'])
    for i, (name, colour) in enumerate(zip(names, ('#0072b2', '#d55e00', '#009e73'), strict=False)):
        axes.errorbar(
            [row['metrics'][name] for row in table],
            [place + 0.2 * (i - (len(names) - 1) / 2) for place in range(len(table))],
            xerr=[row['std'][name] for row in table] if seeds > 1 else None,
            fmt='o', capsize=4, color=colour, label=name,
        )  # fmt: skip
    axes.set(xlabel=f'%, mean and standard deviation of {seeds} seeds' if seeds > 1 else '%, one seed')
    axes.legend(loc='lower center', bbox_to_anchor=(0.5, 1), ncols=len(names), frameon=False)


def plot_first_steps(rows: Mapping[str, Sequence[str | Path]], title: str, out: str | Path) -> None:
    """A PNG: training loss of each row over its first steps, mean of its seeds, and their lowest and highest.

    In units of the first logged loss, so that rows with other losses lie in one picture.

    Args:
        rows: of each row, the work dirs of its runs.
        title: of the picture.
        out: where to.

    Raises:
        FileNotFoundError: a work dir without a log.
    """
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.subplots()
    for row, work_dirs in rows.items():
        losses = [{r['step']: r['loss'] for r in read_scalars(folder) if 'loss' in r} for folder in work_dirs]
        steps = [step for step in sorted(set.intersection(*map(set, losses))) if step <= STEPS]
        values = np.array([[of_run[step] for step in steps] for of_run in losses])
        values /= values[:, :1]
        (line,) = axes.plot(steps, values.mean(0), label=row)
        axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    seeds = max(map(len, rows.values()))
    axes.set(xlabel='step' + f'; mean of {seeds} seeds, band: lowest to highest' * (seeds > 1), title=title)
    axes.set(ylabel='training loss, in units of the first logged', ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, out)


def milliseconds_per_step(work_dir: str | Path) -> float:
    """Median over what a training logged: starts, stops and epochs that were done again do not count."""
    return 1000 * median(row['time'] for row in read_scalars(work_dir) if 'loss' in row)


def _save(figure: Any, out: str | Path) -> None:
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _with_std(value: float, std: float) -> str:
    return f'{value:.2f}' if isnan(std) else f'{value:.2f} ± {std:.2f}'


def _difference(found: Mapping[str, Any] | None, seeds: bool) -> list[str]:
    if found is None:
        return [''] * (2 + seeds)
    p = f'{found["p"]:.3f}' if found['p'] >= 0.001 else '< 0.001'
    interval = f'{found["mean"]:+.2f} ({found["low"]:+.2f} to {found["high"]:+.2f})'
    return [interval, p, *([', '.join(f'{value:+.1f}' for value in found['of_seeds'])] * seeds)]


def _number(value: float | None, digits: int) -> str:
    return '' if value is None else f'{value:.{digits}f}'
