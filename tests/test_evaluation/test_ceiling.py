"""Masks on coarse maps, against what can be worked out by hand."""

import numpy as np
import pytest

from mgfe_ris.evaluation import ceilings


def squares(*sides: int, size: int = 64) -> list[np.ndarray]:
    masks = [np.zeros((size, size), np.uint8) for _ in sides]
    for mask, side in zip(masks, sides, strict=True):
        mask[8 : 8 + side, 16 : 16 + side] = 1
    return masks


def test_a_map_of_the_photos_size_loses_nothing():
    (metrics,) = ceilings(squares(3, 20), [64]).values()
    assert metrics['oIoU'] == metrics['mIoU'] == metrics['P@0.9'] == 100


def test_what_fills_no_half_of_a_cell_is_lost():
    """2 x 2 of a cell of 4 x 4; the large square lies on whole cells, and loses no more than its corners."""
    small, large = (ceilings(squares(side), [16])[16] for side in (2, 32))
    assert small['mIoU'] == small['oIoU'] == 0
    assert large['oIoU'] == pytest.approx(100 * (32**2 - 4) / 32**2)
    both = ceilings(squares(2, 32), [16])[16]
    assert both['mIoU'] == large['mIoU'] / 2 and both['oIoU'] > 99


def test_finer_maps_hold_more():
    rows, columns = np.ogrid[:90, :150]
    photo = ((rows - 40) ** 2 + (columns - 60) ** 2 < 20**2).astype(np.uint8)
    photo[photo == 0] = 255 * (columns > 140).repeat(90, 0)[photo == 0]  # ignored, no object
    found = [metrics['mIoU'] for metrics in ceilings([photo], [6, 12, 24, 48]).values()]
    assert found == sorted(found) and found[0] < 80 and 95 < found[-1] < 100


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match='at least 1 cell along its side; got 0'):
        ceilings(squares(3), [4, 0])
    with pytest.raises(ValueError, match='no sample'):
        ceilings([], [4])
