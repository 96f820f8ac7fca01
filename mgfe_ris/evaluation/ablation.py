"""Runs of an ablation -> its table: mean and spread over seeds, and whether a row differs from the first."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from zlib import crc32

import numpy as np

from .iou import summarize

METRICS = ('P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU')


@dataclass(frozen=True)
class Run:
    """One trained model, tested on one split."""

    seed: int
    samples: np.ndarray
    """A number that tells each sample, with its truth, from others."""
    photos: np.ndarray
    """Of each sample, its photo's id."""
    intersections: np.ndarray
    unions: np.ndarray
    """Pixels, of each sample."""

    @classmethod
    def of(cls, seed: int, records: Sequence[Mapping]) -> 'Run':
        """``records``: what ``RefSegMetric`` wrote about the split, line by line."""
        samples = [crc32(repr([r[key] for key in ('img_id', 'ref_id', 'sent_id', 'truth')]).encode()) for r in records]
        columns = ([record[key] for record in records] for key in ('img_id', 'intersection', 'union'))
        return cls(seed, np.asarray(samples), *map(np.asarray, columns))

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
    """Ends of the 95 % interval."""
    p: float
    """Two-sided: how often no difference would give one as large."""
    of_seeds: tuple[float, ...]
    """Seed by seed. With one seed, interval and p are of these two trained models, not of their recipes."""


def spread_over_seeds(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (n - 1; not a number with one seed) of each metric."""
    values = {name: [run.metrics[name] for run in runs] for name in METRICS}
    return {name: (mean(v), stdev(v) if len(v) > 1 else float('nan')) for name, v in values.items()}


def paired_bootstrap(row: Sequence[Run], baseline: Sequence[Run], draws: int = 10_000, seed: int = 0) -> Difference:
    """Compare the IoU of the same samples under the same seeds.

    Two things would differ next time. Other photos: they are drawn with replacement, all samples of a photo together.
    Other seeds: drawn again, two or three of them would seem far surer than they are, so their variance comes from the
    differences themselves, and the interval is Student's t with Satterthwaite's degrees of freedom, which are few
    where the seeds disagree.

    Raises:
        ValueError: runs of other seeds, or of other samples.
    """
    from scipy.special import stdtr, stdtrit  # for this alone

    sums, counts = _by_photo(row, baseline)
    seeds, photos = sums.shape
    of_seeds = sums.sum(1) / counts.sum()
    found = _draw_photos(sums.mean(0), counts, draws, np.random.default_rng(seed))
    by_photos, by_seeds = found.var(ddof=1), of_seeds.var(ddof=1) / seeds if seeds > 1 else 0.0
    middle, variance = float(of_seeds.mean()), by_photos + by_seeds
    if not variance:
        return Difference(middle, middle, middle, float(middle == 0), tuple(of_seeds.tolist()))
    freedom = variance**2 / (by_photos**2 / max(photos - 1, 1) + by_seeds**2 / max(seeds - 1, 1))
    reach = float(stdtrit(freedom, 0.975) * variance**0.5)
    p = float(2 * stdtr(freedom, -abs(middle) / variance**0.5))
    return Difference(middle, middle - reach, middle + reach, p, tuple(of_seeds.tolist()))


def _by_photo(row: Sequence[Run], baseline: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Differences of IoU, summed over the samples of each photo (seeds, photos); and how many samples a photo has."""
    if [run.seed for run in row] != [run.seed for run in baseline]:
        raise ValueError(f'seeds differ: {[run.seed for run in row]} and {[run.seed for run in baseline]}')
    if any(not np.array_equal(run.samples, row[0].samples) for run in (*row, *baseline)):
        raise ValueError('the runs were tested on different samples')
    _, photo, counts = np.unique(row[0].photos, return_inverse=True, return_counts=True)
    differences = (a.iou - b.iou for a, b in zip(row, baseline, strict=True))
    return np.stack([np.bincount(photo, of_seed) for of_seed in differences]), counts


def _draw_photos(sums: np.ndarray, counts: np.ndarray, draws: int, random: np.random.Generator) -> np.ndarray:
    """The mean over samples, of as many photos with replacement, ``draws`` times."""
    found = np.empty(draws)
    for i in range(draws):
        drawn = random.integers(len(sums), size=len(sums))
        found[i] = sums[drawn].sum() / counts[drawn].sum()
    return found


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
