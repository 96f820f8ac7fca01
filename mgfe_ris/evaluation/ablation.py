"""Runs of an ablation -> its table: mean and spread over seeds, and whether a row differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev

import numpy as np

from .iou import summarize

METRICS = ('P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU')


@dataclass(frozen=True)
class Run:
    """One trained model, tested on one split."""

    seed: int
    photos: np.ndarray
    """Of each sample, its photo's id."""
    intersections: np.ndarray
    unions: np.ndarray
    """Pixels, of each sample."""

    @classmethod
    def of(cls, seed: int, records: Sequence[Mapping]) -> 'Run':
        """``records``: what ``RefSegMetric`` wrote about the split, line by line."""
        columns = ([record[key] for record in records] for key in ('img_id', 'intersection', 'union'))
        return cls(seed, *map(np.asarray, columns))

    @property
    def metrics(self) -> dict[str, float]:
        """In percent."""
        found = summarize(self.intersections, self.unions)
        return {name: found[name] for name in METRICS}

    @property
    def iou(self) -> np.ndarray:
        """Of each sample, in percent."""
        return 100 * self.intersections / np.maximum(self.unions, 1)


@dataclass(frozen=True)
class Difference:
    """Mean IoU of a row's samples less that of the baseline's, in percent points."""

    mean: float
    low: float
    high: float
    """The middle 95 % of the draws lie between."""
    p: float
    """Two-sided: how often a draw falls on the other side of 0."""


def spread_over_seeds(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (n - 1; not a number with one seed) of each metric."""
    values = {name: [run.metrics[name] for run in runs] for name in METRICS}
    return {name: (mean(v), stdev(v) if len(v) > 1 else float('nan')) for name, v in values.items()}


def paired_bootstrap(row: Sequence[Run], baseline: Sequence[Run], draws: int = 10_000, seed: int = 0) -> Difference:
    """Compare the IoU of the same samples under the same seeds.

    Photos are drawn with replacement, all samples of a photo together, and seeds are drawn with replacement, too: the
    interval says what another set of photos and other seeds would give. Three seeds say little about other seeds.

    Raises:
        ValueError: runs of other seeds, or of other samples.
    """
    if [run.seed for run in row] != [run.seed for run in baseline]:
        raise ValueError(f'seeds differ: {[run.seed for run in row]} and {[run.seed for run in baseline]}')
    photos = row[0].photos
    if any(not np.array_equal(run.photos, photos) for run in (*row, *baseline)):
        raise ValueError('the runs were tested on different samples')
    differences = np.stack([a.iou - b.iou for a, b in zip(row, baseline, strict=True)])
    _, photo, counts = np.unique(photos, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(photo, of_seed) for of_seed in differences])  # (seeds, photos)
    random = np.random.default_rng(seed)
    seeds, n = sums.shape
    found = np.empty(draws)
    for i in range(draws):
        drawn = random.integers(n, size=n)
        found[i] = sums[np.ix_(random.integers(seeds, size=seeds), drawn)].sum() / (seeds * counts[drawn].sum())
    low, high = np.quantile(found, [0.025, 0.975])
    p = min(1.0, 2 * min((found <= 0).mean(), (found >= 0).mean()) + 1 / draws)
    return Difference(float(differences.mean()), float(low), float(high), float(p))


def tabulate(rows: Mapping[str, Sequence[Run]]) -> list[dict]:
    """Runs by row, the baseline first -> of each row what a table shows, ready for JSON.

    ``row``; ``seeds``; ``metrics`` and ``std``, by name, in percent; ``mIoU_difference``: to the first row's mIoU, a
    dict of :class:`Difference`, None for the first row.

    Raises:
        ValueError: see :func:`paired_bootstrap`.
    """
    baseline = next(iter(rows.values()))
    table = []
    for row, runs in rows.items():
        spread = spread_over_seeds(runs)
        table.append(
            dict(
                row=row,
                seeds=[run.seed for run in runs],
                metrics={name: value for name, (value, _) in spread.items()},
                std={name: value for name, (_, value) in spread.items()},
                mIoU_difference=None if runs is baseline else asdict(paired_bootstrap(runs, baseline)),
            )
        )
    return table
