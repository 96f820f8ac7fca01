"""The bootstrap over photos against what is known of it, a slow one, and cases that are worked by hand."""

import math

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from mgfe_ris.evaluation import Run, intervals, paired_bootstrap, summarize
from mgfe_ris.evaluation.bootstrap import redraw
from mgfe_ris.evaluation.run import METRICS


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


def three_runs(photos: int = 9) -> list[Run]:
    """One to five samples of each photo, in no order of photos."""
    random = np.random.default_rng(1)
    of = random.permutation(np.repeat(100 + np.arange(photos), random.integers(1, 6, photos)))
    unions = random.integers(1, 1000, (3, len(of)))
    return [Run(s, np.arange(len(of)), of, (random.random(len(of)) * u).astype(int), u) for s, u in enumerate(unions)]


@pytest.mark.parametrize('seeds', [1, 3])
def test_an_interval_is_that_of_photos_drawn_one_by_one(seeds):
    runs, draws = three_runs()[:seeds], 200
    samples = [np.flatnonzero(runs[0].photos == photo) for photo in np.unique(runs[0].photos)]
    drawn = np.random.default_rng(7).integers(len(samples), size=(draws, len(samples)))
    found = []
    for photos in drawn:
        chosen = np.concatenate([samples[photo] for photo in photos])
        each = [summarize(run.intersections[chosen], run.unions[chosen]) for run in runs]
        found.append([np.mean([metrics[name] for metrics in each]) for name in METRICS])
    low, high = np.quantile(found, (0.025, 0.975), axis=0)
    for i, (name, ends) in enumerate(intervals(runs, draws, seed=7).items()):
        assert name == METRICS[i] and ends == pytest.approx((low[i], high[i]), abs=1e-9) and low[i] < high[i]


def test_of_two_photos_the_ends_are_those_of_one_photo_twice():
    """Photo 1 has IoU 1 on 10 pixels, photo 2 two samples of IoU 0.6 on 50. One of four draws is photo 1 twice, one is
    photo 2 twice, so that both ends lie there."""
    one, two = record(1, 10, 10), record(2, 30, 50)
    found = intervals([Run.of(0, [two, one, two])])
    assert found['oIoU'] == found['mIoU'] == pytest.approx((60, 100))
    assert found['P@0.5'] == (100, 100) and found['P@0.7'] == found['P@0.9'] == (0, 100)


def test_what_lies_between_is_weighted_by_samples_and_pixels():
    sums = np.array([[10.0, 10, 1, 1], [60, 100, 1.2, 2]])  # intersection, union, IoU, samples of the same two photos
    drawn = np.unique(redraw(sums, 50), axis=0)
    assert drawn.tolist() == [[20, 20, 2, 2], [70, 110, 2.2, 3], [120, 200, 2.4, 4]]


def test_blocks_of_draws_are_all_there(monkeypatch):
    monkeypatch.setattr('mgfe_ris.evaluation.bootstrap._NUMBERS', 12)
    found = redraw(np.ones((5, 1)), draws=7)
    assert found.shape == (7, 1) and (found == 5).all()
    assert (redraw(np.ones((50, 1)), draws=3) == 50).all(), 'more photos than numbers at a time'


def test_one_photo_or_photos_that_agree_leave_no_room():
    for photos in (np.zeros(4), np.arange(4)):
        found = intervals([run(0, np.full(4, 0.6), photos)])
        assert found['oIoU'] == found['mIoU'] == pytest.approx((60, 60))
    nothing = intervals([Run.of(0, [record(1, 0, 0), record(2, 0, 0)])])
    assert set(nothing.values()) == {(0, 0)}


def test_the_interval_of_a_mean_is_not_that_of_its_samples():
    """Seeds are no new photos: three alike say no more than one, and two that err on different photos are surer."""
    runs = three_runs()
    three, one = (np.array(list(intervals(some, 500).values())) for some in ([runs[0]] * 3, runs[:1]))
    assert three == pytest.approx(one)
    good = np.arange(40) % 2
    both = intervals([run(0, good), run(1, 1 - good)], 500)['mIoU']
    assert both == pytest.approx((50, 50)) and np.ptp(intervals([run(0, good)], 500)['mIoU']) > 20
    with pytest.raises(ValueError, match='different samples'):
        intervals([run(0, np.ones(3)), run(1, np.ones(4))])


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
