"""Tables of ablations: means, spreads, and the paired bootstrap against what is known of it."""

import math

import numpy as np
import pytest

from mgfe_ris.evaluation import Run, tabulate
from mgfe_ris.evaluation.ablation import paired_bootstrap, spread_over_seeds


def run(seed: int, iou: np.ndarray, photos: np.ndarray | None = None) -> Run:
    """Unions of 1,000 pixels."""
    photos = np.arange(len(iou)) if photos is None else photos
    return Run(seed, photos, np.round(1000 * iou).astype(int), np.full(len(iou), 1000))


def test_metrics_are_those_of_the_metric():
    found = Run.of(3, [dict(img_id=1, intersection=9, union=10), dict(img_id=2, intersection=12, union=20)])
    assert found.seed == 3
    assert found.metrics == pytest.approx({'P@0.5': 100, 'P@0.7': 50, 'P@0.9': 50, 'mIoU': 75, 'oIoU': 70})
    assert list(found.metrics) == ['P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU'], "the paper's order"
    assert found.iou.tolist() == pytest.approx([90, 60])


def test_spread_is_that_of_a_sample():
    spread = spread_over_seeds([run(seed, np.full(4, value)) for seed, value in enumerate((0.5, 0.6, 0.7))])
    assert spread['mIoU'] == pytest.approx((60, 10))
    mean, std = spread_over_seeds([run(0, np.full(4, 0.5))])['mIoU']
    assert mean == 50 and math.isnan(std)


def test_the_interval_is_that_of_the_normal_distribution_for_many_photos():
    random = np.random.default_rng(0)
    base, gain = random.uniform(0.2, 0.6, 2000), random.normal(0.02, 0.1, 2000)
    found = paired_bootstrap([run(0, base + gain)], [run(0, base)], draws=4000)
    error = 100 * gain.std() / math.sqrt(2000)
    assert found.mean == pytest.approx(100 * gain.mean(), abs=0.05)
    assert found.low == pytest.approx(found.mean - 1.96 * error, abs=0.05)
    assert found.high == pytest.approx(found.mean + 1.96 * error, abs=0.05)
    assert found.p < 0.001


def test_sentences_of_one_photo_are_no_new_evidence():
    random = np.random.default_rng(0)
    gain = random.normal(0.02, 0.1, 200)
    few = paired_bootstrap([run(0, 0.5 + gain)], [run(0, np.full(200, 0.5))], draws=4000)
    photos = np.repeat(np.arange(200), 7)
    many = paired_bootstrap(
        [run(0, 0.5 + np.repeat(gain, 7), photos)], [run(0, np.full(1400, 0.5), photos)], draws=4000
    )
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.1)


def test_seeds_that_disagree_widen_the_interval_and_no_difference_has_a_large_p():
    random = np.random.default_rng(0)
    base = random.uniform(0.3, 0.6, 500)
    agreeing = [run(seed, base + 0.02) for seed in range(3)]
    disagreeing = [run(seed, base + shift) for seed, shift in enumerate((-0.08, 0.02, 0.12))]
    baseline = [run(seed, base) for seed in range(3)]
    narrow, wide = (paired_bootstrap(row, baseline, draws=500) for row in (agreeing, disagreeing))
    assert narrow.mean == pytest.approx(wide.mean, abs=0.1)
    assert narrow.p < 0.01 < 0.1 < wide.p and wide.high - wide.low > 5 > narrow.high - narrow.low
    assert paired_bootstrap(baseline, baseline, draws=100).p == 1


def test_only_the_same_seeds_and_samples_are_compared():
    some, other = [run(0, np.full(4, 0.5))], [run(1, np.full(4, 0.5))]
    with pytest.raises(ValueError, match=r'seeds differ: \[0\] and \[1\]'):
        paired_bootstrap(some, other)
    with pytest.raises(ValueError, match='different samples'):
        paired_bootstrap(some, [run(0, np.full(5, 0.5))])


def test_a_table_compares_with_its_first_row():
    base = np.linspace(0.2, 0.8, 50)
    rows = {'a': [run(s, base) for s in (0, 1)], 'b': [run(s, base + 0.1) for s in (0, 1)]}
    first, second = tabulate(rows)
    assert first['mIoU_difference'] is None and (first['row'], second['row']) == ('a', 'b')
    assert second['mIoU_difference']['mean'] == pytest.approx(10, abs=0.1) and second['seeds'] == [0, 1]
    assert second['metrics']['mIoU'] == pytest.approx(60, abs=0.1) and second['std']['mIoU'] == 0
