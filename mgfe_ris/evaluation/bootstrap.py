"""How far a metric, or the difference of two rows, would move with other photos: they are drawn with replacement, all
samples of a photo together (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from .iou import iou_of
from .run import METRICS, Run, require_same_samples, spread_over_seeds

DRAWS = 10_000


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


def intervals(runs: Sequence[Run], draws: int = DRAWS, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Ends of the 95 % interval of each metric, in percent: of one run, or of the mean over several.

    All runs get the same photos in each draw; the ends are the 2.5 and 97.5 % quantiles of what the draws give. The
    trained models stay as they are: how far other seeds would move the mean, says
    :func:`mgfe_ris.evaluation.spread_over_seeds`.

    Args:
        runs: of the same samples.
        draws: how often photos are drawn, as many as there are.
        seed: of the draws.

    Raises:
        ValueError: runs of other samples.
    """
    require_same_samples(runs)
    _, photo = np.unique(runs[0].photos, return_inverse=True)
    fractions = [pair for run in runs for pair in _fractions(run)]
    columns = [np.bincount(photo, column) for pair in fractions for column in pair]
    above, below = np.moveaxis(redraw(np.stack(columns, 1), draws, seed).reshape(draws, len(runs), -1, 2), -1, 0)
    found = 100 * (above / np.maximum(below, 1)).mean(1)
    ends = np.quantile(found, (0.025, 0.975), axis=0).T.tolist()
    return {name: (low, high) for name, (low, high) in zip(METRICS, ends, strict=True)}


def measured(runs: Sequence[Run]) -> dict[str, Any]:
    """How many ``seeds``, ``sentences`` and ``photos``, and in ``metrics``, by name, in percent, ``mean`` and ``std``
    over seeds (None of one), and ``low`` and ``high``, see :func:`intervals`; ready for JSON.

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


def _fractions(run: Run) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each of :data:`METRICS`, what is summed over the samples above and below the fraction's line."""
    iou, ones = iou_of(run.intersections, run.unions), np.ones(len(run.samples))
    counted = {f'P@{x}': (iou >= x, ones) for x in (0.5, 0.7, 0.9)}
    counted |= {'mIoU': (iou, ones), 'oIoU': (run.intersections, run.unions)}
    return [counted[name] for name in METRICS]


def paired_bootstrap(row: Sequence[Run], baseline: Sequence[Run], draws: int = DRAWS, seed: int = 0) -> Difference:
    """Compare the IoU of the same samples under the same seeds.

    Two things would differ next time. Other photos: see :func:`redraw`. Other seeds: drawn again, two or three of them
    would seem far surer than they are, so their variance comes from the differences themselves, and the interval is
    Student's t with Satterthwaite's degrees of freedom, which are few where the seeds disagree.

    Raises:
        ValueError: runs of other seeds, or of other samples.
    """
    from scipy.special import stdtr, stdtrit  # for this alone

    sums, counts = _by_photo(row, baseline)
    seeds, photos = sums.shape
    of_seeds = sums.sum(1) / counts.sum()
    drawn = redraw(np.stack([sums.mean(0), counts], 1), draws, seed)
    by_photos = (drawn[:, 0] / drawn[:, 1]).var(ddof=1)
    by_seeds = of_seeds.var(ddof=1) / seeds if seeds > 1 else 0.0
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
    require_same_samples([*row, *baseline])
    _, photo, counts = np.unique(row[0].photos, return_inverse=True, return_counts=True)
    differences = (a.iou - b.iou for a, b in zip(row, baseline, strict=True))
    return np.stack([np.bincount(photo, of_seed) for of_seed in differences]), counts


def redraw(columns: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Sums of columns over as many photos as there are, drawn with replacement.

    Args:
        columns: (photos, columns).
        draws: how often.
        seed: of the draws.

    Returns:
        (draws, columns) float64.
    """
    random, photos = np.random.default_rng(seed), len(columns)
    found = []
    for begin in range(0, draws, step := max(1, _NUMBERS // photos)):
        count = min(step, draws - begin)
        drawn = random.integers(photos, size=(count, photos)) + photos * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * photos).reshape(count, photos)
        found.append(times.astype(np.float64) @ columns)
    return np.concatenate(found)


_NUMBERS = 1 << 20
"""That are drawn at a time, so that thousands of photos need no more memory than a few."""
