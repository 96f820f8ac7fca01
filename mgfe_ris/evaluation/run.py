"""What one trained model gets right on one split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from zlib import crc32

import numpy as np

from .iou import iou_of, summarize

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
        return 100 * iou_of(self.intersections, self.unions)


def require_same_samples(runs: Sequence[Run]) -> None:
    """Raises a ValueError unless the runs were tested on the same samples, with the same truth."""
    if any(not np.array_equal(run.samples, runs[0].samples) for run in runs):
        raise ValueError('the runs were tested on different samples')


def spread_over_seeds(runs: Sequence[Run]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (n - 1; not a number with one seed) of each metric."""
    values = {name: [run.metrics[name] for run in runs] for name in METRICS}
    return {name: (mean(v), stdev(v) if len(v) > 1 else float('nan')) for name, v in values.items()}
