"""The numbers of a paper's table, against recorded ones, plain loops and hand-made cases."""

import numpy as np
import pytest
import torch

from mgfe_ris.evaluation import intersection_and_union, summarize
from mgfe_ris.evaluation.iou import THRESHOLDS


@pytest.fixture(scope='module')
def recorded(shared) -> dict:
    return torch.load(shared / 'fixtures/lavt_small.pt', weights_only=True)


def by_loops(preds: np.ndarray, truths: np.ndarray, ignore: int = 255) -> dict[str, float]:
    total_i = total_u = 0
    ious = []
    for pred, truth in zip(preds, truths, strict=True):
        i = u = 0
        for y in range(pred.shape[0]):
            for x in range(pred.shape[1]):
                if truth[y, x] == ignore:
                    continue
                i += pred[y, x] == 1 and truth[y, x] == 1
                u += pred[y, x] == 1 or truth[y, x] == 1
        ious.append(i / u if u else 0)
        total_i, total_u = total_i + i, total_u + u
    metrics = {'oIoU': total_i / total_u, 'mIoU': sum(ious) / len(ious)}
    for x in (0.5, 0.6, 0.7, 0.8, 0.9):
        metrics[f'P@{x}'] = sum(iou >= x for iou in ious) / len(ious)
    return {key: 100 * value for key, value in metrics.items()}


def test_numbers_of_the_official_baseline(recorded):
    i, u = intersection_and_union(recorded['metric_preds'], recorded['metric_gts'])
    assert i.shape == u.shape == (24,)
    assert summarize(i, u) == pytest.approx(recorded['metrics'], abs=1e-9, rel=0)


def test_against_loops_with_ignored_pixels_and_empty_samples():
    rng = np.random.default_rng(0)
    truths = (rng.random((12, 7, 9)) < 0.5).astype(np.int64)
    flips = rng.random(truths.shape) < np.linspace(0, 0.6, 12)[:, None, None]
    preds = np.where(flips, 1 - truths, truths)
    truths[rng.random(truths.shape) < 0.2] = 255
    preds[3], truths[3] = 0, 0  # an empty union
    truths[4] = 255  # nothing counts
    expected = by_loops(preds, truths)
    assert 0 < expected['P@0.9'] < expected['P@0.5'] < 100
    metrics = summarize(*intersection_and_union(torch.from_numpy(preds), torch.from_numpy(truths)))
    assert metrics == pytest.approx(expected, abs=1e-9, rel=0)


@pytest.mark.parametrize('dtype', [torch.bool, torch.uint8, torch.int64])
def test_a_hand_made_case(dtype):
    pred = torch.tensor([[1, 1, 0], [0, 1, 0]]).to(dtype)
    truth = torch.tensor([[0, 1, 1], [0, 1, 0]]).to(dtype)
    i, u = intersection_and_union(pred, truth)
    assert (i.item(), u.item()) == (2, 4) and i.dtype == torch.int64


def test_ignored_pixels_count_nowhere():
    pred, truth = torch.tensor([[1, 1, 0, 0]]), torch.tensor([[1, 255, 255, 1]])
    assert [int(x) for x in intersection_and_union(pred, truth)] == [1, 2]
    pred, truth = torch.tensor([[1, 1, 0, 0]]), torch.tensor([[1, 9, 9, 1]])
    assert [int(x) for x in intersection_and_union(pred, truth, ignore_index=9)] == [1, 2]


def test_an_empty_union_counts_zero():
    assert summarize([0, 5], [0, 5]) == pytest.approx({'oIoU': 100, 'mIoU': 50} | {f'P@{x}': 50 for x in THRESHOLDS})
    assert set(summarize([0], [0]).values()) == {0}


@pytest.mark.parametrize('percent', [50, 60, 70, 80, 90])
def test_thresholds_are_inclusive(percent):
    x = percent / 100
    at, below = summarize([percent], [100]), summarize([percent * 100 - 1], [10000])
    assert at[f'P@{x}'] == 100 and below[f'P@{x}'] == 0


def test_half_is_enough():
    assert summarize([1, 3], [2, 6])['P@0.5'] == 100


def test_overall_weighs_by_pixels_and_mean_by_samples():
    metrics = summarize([90, 0], [100, 10])
    assert metrics['oIoU'] == pytest.approx(100 * 90 / 110) and metrics['mIoU'] == pytest.approx(45)


def test_large_counts_do_not_overflow():
    pixels = 480 * 480
    assert summarize([pixels] * 50000, [2 * pixels] * 50000)['oIoU'] == pytest.approx(50)


def test_no_sample_is_an_error():
    with pytest.raises(ValueError, match='no sample'):
        summarize([], [])


@pytest.mark.parametrize('strict, found', [(False, 100), (True, 0)])
def test_an_iou_of_exactly_the_threshold(strict, found):
    """One half, in float32, too: at least 0.5, and not above it."""
    assert summarize([1], [2], strict=strict)['P@0.5'] == found
