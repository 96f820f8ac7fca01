"""Photo, truth and prediction side by side."""

import cv2
import numpy as np
import pytest

from mgfe_ris.visualization import caption, compare, overlay
from mgfe_ris.visualization.draw import PREDICTION, TRUTH


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((60, 80), bool)
    mask[10:40, 20:70] = True
    return mask


def panels(row: np.ndarray) -> list[np.ndarray]:
    """Three of 120 pixels, with their captions."""
    assert row.shape[1] == 3 * (120 + 6)
    return [row[:, i * 126 : i * 126 + 120] for i in range(3)]


def assert_shows(panel: np.ndarray, picture: np.ndarray, text: str) -> None:
    expected = caption(picture, text)
    np.testing.assert_array_equal(panel[: len(expected)], expected)
    assert (panel[len(expected) :] == 255).all()


def test_a_row_of_photo_truth_and_prediction(photo, mask):
    small = mask[::2, ::2]
    first, second, third = panels(compare(photo, 'left dog', mask, small, iou=0.756, width=120))
    large = cv2.resize(photo, (120, 90), interpolation=cv2.INTER_CUBIC)
    assert_shows(first, large, 'left dog')
    assert_shows(second, overlay(large, mask, TRUTH), 'truth')
    assert_shows(third, overlay(large, small, PREDICTION), 'prediction, IoU 76 %')


def test_empty_masks_are_said(photo, mask):
    none = np.zeros_like(mask)
    large = cv2.resize(photo, (120, 90), interpolation=cv2.INTER_CUBIC)
    _, truth, prediction = panels(compare(photo, 'dog', mask, none, iou=0.0, width=120))
    assert_shows(truth, overlay(large, mask, TRUTH), 'truth')
    assert_shows(prediction, large, 'prediction: nothing, IoU 0 %')
    _, truth, prediction = panels(compare(photo, 'dog', none, none, iou=1.0, width=120))
    assert_shows(truth, large, 'truth: nothing')
    assert_shows(prediction, large, 'prediction: nothing')
