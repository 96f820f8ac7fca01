"""Tables of ablations: means, spreads, and the comparison with the first row."""

import math

import numpy as np
import pytest

from mgfe_ris.evaluation import Run, spread_over_seeds, tabulate


def run(seed: int, iou: np.ndarray, photos: np.ndarray | None = None) -> Run:
    """Unions of 1,000 pixels."""
    photos = np.arange(len(iou)) if photos is None else photos
    return Run(seed, np.arange(len(iou)), photos, np.round(1000 * iou).astype(int), np.full(len(iou), 1000))


def test_spread_is_that_of_a_sample():
    spread = spread_over_seeds([run(seed, np.full(4, value)) for seed, value in enumerate((0.5, 0.6, 0.7))])
    assert spread['mIoU'] == pytest.approx((60, 10))
    mean, std = spread_over_seeds([run(0, np.full(4, 0.5))])['mIoU']
    assert mean == 50 and math.isnan(std)


def test_a_table_compares_with_its_first_row():
    base = np.linspace(0.2, 0.8, 50)
    rows = {'a': [run(s, base) for s in (0, 1)], 'b': [run(s, base + 0.1) for s in (0, 1)]}
    first, second = tabulate(rows)
    assert first['mIoU_difference'] is None and (first['row'], second['row']) == ('a', 'b')
    assert second['mIoU_difference']['mean'] == pytest.approx(10, abs=0.1) and second['seeds'] == [0, 1]
    assert second['metrics']['mIoU'] == pytest.approx(60, abs=0.1) and second['std']['mIoU'] == 0
