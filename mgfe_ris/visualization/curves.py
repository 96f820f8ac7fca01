"""Training curves."""

import json
from pathlib import Path


def read_scalars(work_dir: str | Path) -> list[dict]:
    """All scalars that the runs in ``work_dir`` logged, resumed ones included, oldest first.

    Raises:
        FileNotFoundError: if no run logged there.
    """
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    if not files:
        raise FileNotFoundError(f'{work_dir}: no */vis_data/scalars.json; is it the work dir of a training?')
    # a run that was killed may leave half a line
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.endswith('}')]


def plot_curves(work_dir: str | Path, out: str | Path) -> None:
    """Losses and learning rate over steps, metrics over epochs, as a PNG."""
    # half a second, for drawing alone; without pyplot, which would need a screen or change the user's backend
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    scalars = read_scalars(work_dir)
    training = [row for row in scalars if 'loss' in row]
    validation = [row for row in scalars if 'oIoU' in row]
    figure = Figure(figsize=(13, 3.6), layout='constrained')
    left, middle, right = figure.subplots(1, 3)
    for key in sorted({key for row in training for key in row if key.startswith('loss')}):
        left.plot(*_series(training, 'step', key), label=key)
    left.set(title='Training loss', xlabel='step', ylabel='loss', ylim=(0, None))
    left.legend()
    for key in ('oIoU', 'mIoU', 'P@0.5', 'P@0.7', 'P@0.9'):
        middle.plot(*_series(validation, 'step', key), marker='o', markersize=3, label=key)
    middle.xaxis.set_major_locator(MaxNLocator(integer=True))
    middle.set(title='Validation', xlabel='epoch', ylabel='%', ylim=(0, 100))
    middle.legend()
    right.plot(*_series(training, 'step', 'lr'))
    right.set(title='Learning rate', xlabel='step', ylim=(0, None))
    for axes in (left, middle, right):
        axes.grid(alpha=0.3)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=100)


def _series(rows: list[dict], x: str, y: str) -> tuple[list[float], list[float]]:
    # a resumed run logs some steps again: the later line holds
    points = {row[x]: row[y] for row in rows if x in row and y in row}
    return sorted(points), [points[key] for key in sorted(points)]
