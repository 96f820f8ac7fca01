"""What ``measure_cuda`` found, as tables, a page and a picture."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .markdown import markdown_table
from .marked_page import write_between_marks

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]
NOT_MEASURED = 'Not measured: no GPU was at hand yet. The command above fills in this part of the page.'
NO = '-'
QUANTITIES = {'logits': 'logits', 'loss': 'loss', 'gradient': 'gradients', 'after': 'loss after', 'pixels': 'pixels'}
OURS, NAIVE = 'LAVT', 'naive LAVT'


@dataclass(frozen=True)
class Aim:
    """What is asked for, and where it is found."""

    text: str
    least: float
    unit: str
    find: Callable[[Rows], Iterator[tuple[float, str]]]
    """Values, and what each is of; the largest counts."""


def _training(rows: Rows) -> Iterator[Row]:
    for cell in rows.get('speed', ()):
        if cell.get('mode') == 'train':
            for one in cell['models']:
                if one['model'] == OURS and one['how'].startswith('bf16') and 'ms' in one:
                    yield {**one, 'batch': cell['batch']}


def _times_naive(rows: Rows) -> Iterator[tuple[float, str]]:
    for one in _training(rows):
        if 'TF32' in one['times_naive']:
            yield one['times_naive']['TF32']['median'], f'{one["how"]}, batch {one["batch"]}'


def _utilisation(rows: Rows) -> Iterator[tuple[float, str]]:
    for one in _training(rows):
        found, of = one['percent_of_peak'], "the data sheet's peak"
        if found is None:
            found, of = one['percent_of_product'], 'the matrix product of the same run'
        yield found['median'], f'{one["how"]}, batch {one["batch"]}, of {of}'


def _sentences(rows: Rows) -> Iterator[tuple[float, str]]:
    for row in rows.get('evaluation', ()):
        if 'times' in row:
            yield row['times']['median'], f'{row["model"]}, {row["how"]}'


def _busy(rows: Rows) -> Iterator[tuple[float, str]]:
    for row in rows.get('evaluation', ()):
        if 'workers' in row and isinstance(row.get('busy_percent'), float):
            yield row['busy_percent'], row['name']


AIMS = (
    Aim(
        "photos per second of a training step of LAVT in bf16, over the naive one's in TF32", 2.5, 'times', _times_naive
    ),
    Aim('utilisation (MFU) of a training step of LAVT in bf16', 40, '%', _utilisation),
    Aim('7 sentences about a photo at once, over one at a time', 3, 'times', _sentences),
    Aim('device busy in the evaluation loop, loader and metric included', 90, '%', _busy),
)


def aims_table(report: Row | None) -> str:
    """Of each aim what was measured, and whether it is met; Markdown."""
    lines = []
    for aim in AIMS:
        found = max(aim.find(report['rows']), default=None) if report else None
        asked = f'at least {aim.least:g} {aim.unit}'
        if found is None:
            lines.append([aim.text, asked, 'not measured', NO])
        else:
            value, of = found
            judged = 'not judged: small' if report and report['setting']['small'] else _yes(value >= aim.least)
            lines.append([aim.text, asked, f'{value:.2f} {aim.unit} ({of})', judged])
    return markdown_table(['aim', 'asked', 'measured', 'met'], lines)


def cuda_text(report: Row | None) -> str:
    """All that was found, for a page or a terminal; None: nothing was."""
    if report is None:
        return f'{NOT_MEASURED}\n\n{aims_table(None)}\n'
    rows: Rows = report['rows']
    parts = [_about(report), '### Aims', aims_table(report)]
    for title, of in (
        ('Correctness', _correctness(report)),
        ('Which kernels ran', _kernels(rows)),
        ('Waiting for the device', _table(rows.get('waiting', ()), _WAITING)),
        ('torch.compile', _table(rows.get('compile', ()), _COMPILE)),
        ('Speed', _speed(rows)),
        ('Memory', _table((r for r in rows.get('speed', ()) if {'traced_gib', 'largest'} & r.keys()), _MEMORY)),
        ('Evaluation', _table(rows.get('evaluation', ()), _EVALUATION)),
        ('What failed', _failed(report)),
        ('What was left out', _left_out(report)),
    ):
        if of:
            parts += [f'### {title}', of]
    return '\n\n'.join(parts) + '\n'


def write_cuda(report: Row | None, page: str | Path) -> None:
    """The page, between its marks; one that is not there is made."""
    write_between_marks(page, cuda_text(report), title='On a GPU')


def _about(report: Row) -> str:
    setting, made = report['setting'], report['made']
    lines = [
        f'{"In small, which shows that it runs, and no speed. " * setting["small"]}On '
        + ', '.join(f'{key} {value}' for key, value in report['machine'].items())
        + '.'
    ]
    if made:
        lines.append(f'`{made["command"]}`, {made["date"]}, commit {made["commit"]}.')
    broken = report['broken']
    compared = sum('holds' in row for rows in report['rows'].values() for row in rows)
    fine = f'No bound is broken, in {compared} rows.' if compared else 'Nothing was compared with a bound.'
    lines.append(f'**Broken: {", ".join(broken)}.**' if broken else fine)
    return '\n'.join(lines)


def _correctness(report: Row) -> str:
    """A line for each family: how far each precision is from float64."""
    rows = [row for row in report['rows'].get('correctness', ()) if 'family' in row]
    if not rows:
        return ''
    bounds = report['bounds']
    precisions = [name for name in bounds if any(row['precision'] == name for row in rows)]
    by_place = {(row['family'], row['precision']): row for row in rows}
    header = [
        'family',
        *(f'{title}, {p}' for p in precisions for title in QUANTITIES.values()),
        'counts exact',
        'holds',
    ]
    lines = [['*bound*', *(f'{bounds[p][key]:.0e}' for p in precisions for key in QUANTITIES), '', '']]
    for family in dict.fromkeys(row['family'] for row in rows):
        of_family = [by_place.get((family, p), {}) for p in precisions]
        cells = [_small(row.get(key)) for row in of_family for key in QUANTITIES]
        checks = [_yes(all(row[key] for row in of_family if row)) for key in ('counts_exact', 'holds')]
        lines.append([family, *cells, *checks])
    return (
        'Each family in small: outputs and one training step, beside the same in float64 on the CPU. Logits: the '
        'largest difference over the largest logit; loss: relative, of the step, and after it; gradients: length of '
        'the difference over length, all weights together; pixels: share of the masks that changes. Counts: pixels of '
        'intersection and union, as the device and as the CPU count them in the same masks. Where the CPU is, in the '
        'same numbers, further from float64 than a bound, ten times that is allowed, at most a hundred times the bound '
        '(in bf16 and fp16 twice that).\n\n' + markdown_table(header, lines)
    )


def _kernels(rows: Rows) -> str:
    """By kernel, who called it."""
    found: dict[str, list[str]] = {}
    for row in (*rows.get('correctness', ()), *rows.get('speed', ())):
        for kernel, count in row.get('kernels', {}).items():
            found.setdefault(kernel, []).append(f'{row["name"]} ({count})')
    lines = [[f'`{kernel}`', len(who), '; '.join(who[:3]) + ' ...' * (len(who) > 3)] for kernel, who in found.items()]
    return markdown_table(['kernel', 'runs that called it', 'such as (times)'], lines) if lines else ''


def _speed(rows: Rows) -> str:
    header = ['step', 'photos', 'model', 'numbers', 'ms', 'photos/s', 'TFLOP/s', '% of product', '% of peak']
    header += ['times naive, bf16', 'times naive, TF32', 'step, MiB']
    lines, seen = [], set()
    for cell in rows.get('speed', ()):
        for one in cell.get('models', ()):
            place = (cell['mode'], cell['batch'], one['model'], one['how'])
            if place in seen:  # what others are compared with again
                continue
            seen.add(place)
            if 'error' in one:
                lines.append([*place, one['error'], *[''] * 7])
                continue
            times = one.get('times_naive', {})
            lines.append([
                *place,
                *(_spread(one[key]) for key in ('ms', 'photos_per_second', 'tflops', 'percent_of_product')),
                _spread(one['percent_of_peak']),
                *(_spread(times.get(how)) for how in ('bf16', 'TF32')),
                f'{one["step_mib"]:,.0f}',
            ])  # fmt: skip
    if not lines:
        return ''
    return (
        'All models of a batch in turn: medians, and lowest to highest. *Times naive*: photos per second over those of '
        'the naive reference (`projects/naive_lavt`) in bf16, and in TF32, pair by pair. *Product*: a product of two '
        "square matrices of the same numbers in the same turn; *peak*: the data sheet's. Operations are those of the "
        'model itself, two per multiply-accumulate.\n\n' + markdown_table(header, lines)
    )


Columns = Mapping[str, tuple[str, ...]]
"""Of each, what is written above it, and keys, of which a row has one."""
_WAITING: Columns = {'what ran': ('name',), 'steps without waiting': ('steps', 'skipped', 'error')}
_COMPILE: Columns = {
    'model': ('name',),
    'graphs': ('graphs', 'skipped', 'error'),
    'breaks': ('breaks',),
    'compiled in (s)': ('compile_seconds',),
    **{title: (key,) for key, title in QUANTITIES.items()},
    'holds': ('holds',),
}
_MEMORY: Columns = {
    'what': ('name',),
    'photos': ('batch', 'largest'),
    'traced, GiB': ('traced_gib',),
    'measured, GiB': ('measured_gib',),
    'stopped before the memory was full': ('at_least',),
}
_EVALUATION: Columns = {
    'what': ('name',),
    'ms': ('ms', 'skipped', 'error'),
    'ms, one by one': ('ms_one_by_one',),
    'times': ('times',),
    'sentences/s': ('sentences_per_second',),
    '% waiting for the loader': ('loader_percent',),
    '% busy': ('busy_percent',),
}


def _table(rows: Iterable[Row], columns: Columns) -> str:
    lines = [[_cell(next((row[key] for key in keys if key in row), '')) for keys in columns.values()] for row in rows]
    return markdown_table(list(columns), lines) if lines else ''


def _failed(report: Row) -> str:
    errors = [(s, row) for s, rows in report['rows'].items() for row in rows if 'error' in row]
    return '\n'.join(f'- {section}, {row["name"]}: {row["error"]}' for section, row in errors)


def _left_out(report: Row) -> str:
    minutes = report['setting']['minutes']
    lines = [f'- {section}: {"; ".join(names)}' for section, names in report['left_out'].items()]
    return f'The time was up after {minutes:g} minutes.\n\n' + '\n'.join(lines) if lines else ''


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return _yes(value)
    if isinstance(value, float):
        return _small(value) if abs(value) < 0.01 else f'{value:.2f}'
    if isinstance(value, Mapping):
        return _spread(value) if 'median' in value else '; '.join(f'{k} ({n})' for k, n in value.items()) or 'none'
    return str(value)


def _spread(values: Mapping[str, float] | None) -> str:
    if values is None:
        return NO
    digits = max(0, 3 - len(f'{values["median"]:.0f}'))
    low, middle, high = (f'{values[key]:,.{digits}f}' for key in ('min', 'median', 'max'))
    return f'{middle} ({low} to {high})'


def _small(value: float | None) -> str:
    return NO if value is None else f'{value:.0e}'


def _yes(value: bool) -> str:
    return 'yes' if value else 'no'


def plot_cuda(report: Row, out: str | Path) -> None:
    """How far from float64 each family is, and how many photos per second each model trains and segments; a PNG."""
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure

    rows = report['rows']
    families = list(dict.fromkeys(row['family'] for row in rows.get('correctness', ()) if 'family' in row))
    cells = [cell for cell in rows.get('speed', ()) if 'models' in cell]
    figure = Figure(figsize=(14, max(5, 1 + 0.28 * max(len(families), 4 * len(cells)))), layout='constrained')
    left, right = figure.subplots(1, 2)
    _plot_correctness(left, report, families)
    _plot_speed(right, cells)
    figure.suptitle(f'{report["machine"]["device"]}, torch {report["machine"]["torch"]}')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _plot_correctness(axes: Any, report: Row, families: Sequence[str]) -> None:
    for i, (precision, bound) in enumerate(report['bounds'].items()):
        found = [r for r in report['rows'].get('correctness', ()) if r.get('precision') == precision]
        colour = f'C{i}'
        for key, marker in (('logits', 'o'), ('gradient', 'x')):
            points = [(r[key], families.index(r['family'])) for r in found if r.get(key)]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=colour, label=f'{precision}: {key}')
                axes.axvline(bound[key], color=colour, linestyle=':' if marker == 'x' else '--', linewidth=1)
    axes.set(title='difference from float64 (lines: bounds)')
    if not axes.lines:
        return
    axes.set_yticks(range(len(families)), families, fontsize=8)
    axes.invert_yaxis()
    axes.set(xscale='log')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _plot_speed(axes: Any, cells: Sequence[Row]) -> None:
    names, values, colours = [], [], []
    for cell in cells:
        for one in cell['models']:
            name = f'{cell["mode"]} {cell["batch"]}: {one["model"]}, {one["how"]}'
            if name not in names and 'photos_per_second' in one:
                names.append(name)
                values.append(one['photos_per_second']['median'])
                colours.append('C7' if one['model'] == NAIVE else 'C0' if one['model'] == OURS else 'C2')
    bars = axes.barh(range(len(names)), values, color=colours)
    axes.bar_label(bars, [f'{value:,.1f}' for value in values], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(title='photos per second')
    axes.grid(alpha=0.3, axis='x')
