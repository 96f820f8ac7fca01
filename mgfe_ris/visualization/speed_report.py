"""What ``measure_speed`` found, as text and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROWS = {
    'photos/s': 'photos_per_second',
    'sentences/s': 'sentences_per_second',
    'ms per step': 'ms_per_step',
    'GFLOP/s': 'gflops',
    '% of the product': 'percent_of_product',
}
COLOURS = ('#1f77b4', '#ff7f0e')


def speed_table(report: Mapping[str, Any]) -> str:
    """Every number of a report of :func:`mgfe_ris.profiling.measure_speed`, for a terminal."""
    models, product = report['models'], report['product']
    rows = [['', *(model['name'] for model in models)]]
    rows += [[label, *(_spread(model[key]) for model in models)] for label, key in ROWS.items()]
    rows.append(['GFLOP per step', *(f'{model["gflop"]:,.2f}' for model in models)])
    rows.append(['peak memory, MiB', *(f'{model["peak_memory_mib"]:,.0f}' for model in models)])
    rows.append(['waits for data', *(_wait(model['data_wait_percent']) for model in models)])
    lines = [
        describe_setting(report['setting']),
        ', '.join(f'{key} {value}' for key, value in report['machine'].items()),
        f'median of {report["repeats"]} repeats (lowest to highest)',
        '',
        *_aligned(rows),
        '',
        f'the product: {product["side"]} x {product["side"]}, {product["dtype"]}, {_spread(product["gflops"])} GFLOP/s',
        'GFLOP: two per multiply-accumulate of matrix products and convolutions, all passes of a step',
        '',
        *_aligned(_parts_rows(models)),
    ]
    if 'ratio' in report:
        lines += ['', f'time of {models[0]["name"]} / time of {models[1]["name"]}: {_spread(report["ratio"])}']
        lines.append('pair by pair: ' + ', '.join(f'{ratio:.3f}' for ratio in report['ratio']['pairs']))
    return '\n'.join(lines)


def describe_setting(setting: Mapping[str, Any]) -> str:
    """One line."""
    height, width = setting['size']
    parts = [
        f'{setting["mode"]}: {_count(setting["batch"], "photo")} of {height} x {width}',
        f'{_count(setting["sentences"], "sentence")} each',
        f'{_count(setting["words"], "word")}',
        setting['device'],
        setting['amp'] or 'float32',
    ]
    parts += ['compiled'] * setting['compile'] + ['no text encoder'] * (not setting['text'])
    return ', '.join(parts)


def plot_speed(report: Mapping[str, Any], out: str | Path) -> None:
    """The time of a step by part, as a PNG: a bar for each part and model."""
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    models = report['models']
    parts = _parts(models)
    figure = Figure(figsize=(9, 1.5 + 0.15 * len(parts) * (1 + len(models))), layout='constrained')
    axes = figure.subplots()
    thickness = 0.8 / len(models)
    for i, (model, colour) in enumerate(zip(models, COLOURS, strict=False)):
        total = sum(model['parts_ms'].values())
        values = [model['parts_ms'].get(part, 0.0) for part in parts]
        places = [place + (i - (len(models) - 1) / 2) * thickness for place in range(len(parts))]
        bars = axes.barh(places, values, thickness, color=colour, label=f'{model["name"]}: {total:,.1f} ms')
        axes.bar_label(bars, [f'{100 * value / total:.0f} %' for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(parts)), parts)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set(title=describe_setting(report['setting']), xlabel=f'ms per step, {report["machine"]["device"]}')
    axes.grid(alpha=0.3, axis='x')
    axes.legend(loc='lower right')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _parts(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of all models, in the order of a step; what only the second one has stands last."""
    return list(dict.fromkeys(part for model in models for part in model['parts_ms']))


def _parts_rows(models: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = [['time per part, ms', *(model['name'] for model in models)]]
    totals = [sum(model['parts_ms'].values()) for model in models]
    for part in _parts(models):
        values = [model['parts_ms'].get(part, 0.0) for model in models]
        shares = [f'{v:,.2f}  {100 * v / total:5.1f} %' for v, total in zip(values, totals, strict=True)]
        rows.append([part, *shares])
    return [*rows, ['sum', *(f'{total:,.2f}  100.0 %' for total in totals)]]


def _spread(values: Mapping[str, float]) -> str:
    digits = max(0, 3 - len(f'{values["median"]:.0f}'))
    low, middle, high = (f'{values[key]:,.{digits}f}' for key in ('min', 'median', 'max'))
    return f'{middle} ({low} to {high})'


def _wait(percent: float | None) -> str:
    return 'not measured' if percent is None else f'{percent:.1f} % of the time'


def _count(count: int, what: str) -> str:
    return f'{count} {what}{"" if count == 1 else "s"}'


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        '  '.join([row[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(row[1:], widths[1:], strict=True))]).rstrip()
        for row in rows
    ]
