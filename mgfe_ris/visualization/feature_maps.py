"""What the stages of a model look at, as heat on the photo."""

from collections.abc import Sequence

import cv2
import numpy as np

from .draw import caption, grid, resized


def heat(photo: np.ndarray, values: np.ndarray, alpha: float = 0.6) -> np.ndarray:
    """(H, W, 3) RGB and (h, w) values -> the photo under a colour per pixel, from its lowest value to its highest."""
    low, high = float(values.min()), float(values.max())
    scaled = np.uint8(255 * (values - low) / max(high - low, 1e-12))
    height, width = photo.shape[:2]
    scaled = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(scaled, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return (alpha * colours + (1 - alpha) * photo).astype(np.uint8)


def draw_stages(photo: np.ndarray, sentence: str, stages: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Two rows: the norm of each stage's features, and that of what language adds to them; yellow is high.

    Args:
        photo: (H, W, 3) RGB.
        sentence: what was asked.
        stages: of each, two (h, w) arrays, see :func:`mgfe_ris.apis.stage_features`.
    """
    photo = resized(photo)
    rows = []
    for row, what in enumerate(('features', 'response to the words')):
        rows.append(caption(photo, sentence if row == 0 else 'yellow: high, per picture'))
        rows += [caption(heat(photo, maps[row]), f'stage {i}: {what}') for i, maps in enumerate(stages, 1)]
    return grid(rows, 1 + len(stages))
