"""How much of the masks changes, by hand."""

import pytest
import torch

from mgfe_ris.evaluation import MaskChanges


def mask(*pixels: int) -> torch.Tensor:
    made = torch.zeros(10, dtype=torch.bool)
    made[list(pixels)] = True
    return made.view(2, 5)


def test_shares_and_metrics():
    changes, nothing, truth = MaskChanges(), mask(), mask(0, 1).long()
    changes.add(mask(0, 1), mask(0, 1), truth)
    changes.add(mask(0, 1), mask(0, 1, 2), truth)  # IoU 2/3 of the two
    changes.add(mask(0, 1), mask(0, 2, 3), truth)  # 1/4
    changes.add(nothing, nothing, truth)
    report = changes.report()
    assert report['sentences'] == 4 and report['pixels_changed'] == 100 * 4 / 40
    assert report['masks_changed'] == report['below_0.99'] == report['below_0.9'] == 50 and report['below_0.5'] == 25
    assert report['before']['oIoU'] == pytest.approx(100 * 6 / 8)
    assert report['after']['oIoU'] == pytest.approx(100 * 5 / (2 + 3 + 4 + 2))
    assert report['before']['mIoU'] == pytest.approx(75)


def test_a_pixel_where_nothing_counts_is_changed_and_not_scored():
    changes, truth = MaskChanges(), torch.tensor([[1, 255]])
    changes.add(torch.tensor([[True, False]]), torch.tensor([[True, True]]), truth)
    report = changes.report()
    assert report['pixels_changed'] == 50 and report['masks_changed'] == 100
    assert report['before'] == report['after']


def test_no_sentence():
    with pytest.raises(ValueError, match='no sentence'):
        MaskChanges().report()
