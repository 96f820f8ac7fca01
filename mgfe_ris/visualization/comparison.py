"""One sample as a row: photo, truth and prediction, with the sentence and the IoU."""

import numpy as np

from .draw import PREDICTION, TRUTH, caption, grid, overlay, resized


def compare(
    photo: np.ndarray, sentence: str, truth: np.ndarray, prediction: np.ndarray, iou: float, width: int = 192
) -> np.ndarray:
    """Photo, truth and prediction side by side.

    Args:
        photo: (H, W, 3) RGB.
        sentence: what was asked.
        truth: (h, w) bool.
        prediction: (h, w) bool.
        iou: in [0, 1].
        width: of each of the three, pixels.
    """
    photo = resized(photo, width)
    panels = [
        caption(photo, sentence),
        caption(overlay(photo, truth, TRUTH), 'truth'),
        caption(overlay(photo, prediction, PREDICTION), f'prediction, IoU {100 * iou:.0f} %'),
    ]
    return grid(panels, columns=3)
