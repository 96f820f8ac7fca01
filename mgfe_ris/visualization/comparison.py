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
        truth: (h, w) bool; all False if the sentence means nothing in the photo.
        prediction: (h, w) bool.
        iou: in [0, 1]; not shown where there is no truth.
        width: of each of the three, pixels.
    """
    photo = resized(photo, width)
    score = f', IoU {100 * iou:.0f} %' if truth.any() else ''
    panels = [
        caption(photo, sentence),
        caption(overlay(photo, truth, TRUTH), _said('truth', truth)),
        caption(overlay(photo, prediction, PREDICTION), _said('prediction', prediction) + score),
    ]
    return grid(panels, columns=3)


def _said(what: str, mask: np.ndarray) -> str:
    return what if mask.any() else f'{what}: nothing'
