"""Tables of ablations: means, spreads, and the paired bootstrap against what is known of it."""

import math

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from mgfe_ris.evaluation import Run, tabulate
from mgfe_ris.evaluation.ablation import paired_bootstrap, spread_over_seeds


def run(seed: int, iou: np.ndarray, photos: np.ndarray | None = None) -> Run:
    """Unions of 1,000 pixels."""
    photos = np.arange(len(iou)) if photos is None else photos
    return Run(seed, np.arange(len(iou)), photos, np.round(1000 * iou).astype(int), np.full(len(iou), 1000))


def record(img_id: int, intersection: int, union: int, truth: str = 'counts') -> dict:
    ids = dict(img_id=img_id, ref_id=1, sent_id=1, truth=dict(size=[2, 2], counts=truth))
    return dict(**ids, intersection=intersection, union=union)


def test_metrics_are_those_of_the_metric():
    found = Run.of(3, [record(1, 9, 10), record(2, 12, 20)])
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
    baseline = [run(seed, base) for seed in range(3)]
    agreeing = [run(seed, base + 0.02) for seed in range(3)]
    narrow = paired_bootstrap(agreeing, baseline, draws=500)
    assert narrow.p < 0.01 and narrow.high - narrow.low < 1
    shifts = np.array([-8, 2, 12])
    wide = paired_bootstrap([run(s, base + shift / 100) for s, shift in enumerate(shifts)], baseline, draws=500)
    assert wide.mean == pytest.approx(narrow.mean, abs=0.1) and wide.of_seeds == pytest.approx(shifts, abs=0.1)
    # all photos agree here, so what is left is the t test of three numbers
    assert wide.p == pytest.approx(ttest_1samp(shifts, 0).pvalue, abs=0.01)
    assert wide.high - wide.mean == pytest.approx(t.ppf(0.975, 2) * shifts.std(ddof=1) / math.sqrt(3), rel=0.02)
    same = paired_bootstrap(baseline, baseline, draws=100)
    assert same.p == 1 and same.low == same.high == 0


@pytest.mark.parametrize('spread', [0.0, 0.5, 2.0])
def test_rows_that_do_not_differ_are_rarely_said_to(spread):
    """Three seeds a row, whose trainings end ``spread`` points apart, on photos that differ, too."""
    random = np.random.default_rng(0)
    trials = 100
    found = []
    for _ in range(trials):
        base = random.uniform(0.4, 0.6, 100)
        a, b = ([run(s, base + of_row[s]) for s in range(3)] for of_row in _noise(random, spread))
        found.append(paired_bootstrap(a, b, draws=100).p)
    false = np.mean(np.array(found) < 0.05)
    assert false < 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / trials)


def _noise(random: np.random.Generator, spread: float) -> np.ndarray:
    """Two rows, three seeds, 100 photos."""
    return random.normal(0, 0.05, (2, 3, 100)) + random.normal(0, spread / 100, (2, 3, 1))


def test_only_the_same_seeds_and_samples_are_compared():
    some, other = [run(0, np.full(4, 0.5))], [run(1, np.full(4, 0.5))]
    with pytest.raises(ValueError, match=r'seeds differ: \[0\] and \[1\]'):
        paired_bootstrap(some, other)
    with pytest.raises(ValueError, match='different samples'):
        paired_bootstrap(some, [run(0, np.full(5, 0.5))])
    with pytest.raises(ValueError, match='different samples'):
        paired_bootstrap([Run.of(0, [record(1, 1, 2)])], [Run.of(0, [record(1, 1, 2, truth='other')])])


def test_a_table_compares_with_its_first_row():
    base = np.linspace(0.2, 0.8, 50)
    rows = {'a': [run(s, base) for s in (0, 1)], 'b': [run(s, base + 0.1) for s in (0, 1)]}
    first, second = tabulate(rows)
    assert first['mIoU_difference'] is None and (first['row'], second['row']) == ('a', 'b')
    assert second['mIoU_difference']['mean'] == pytest.approx(10, abs=0.1) and second['seeds'] == [0, 1]
    assert second['metrics']['mIoU'] == pytest.approx(60, abs=0.1) and second['std']['mIoU'] == 0
