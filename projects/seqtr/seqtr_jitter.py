"""Photos of all scales, of which a window is seen: what SeqTR trains with."""

from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mgfe_ris.datasets.letterbox import fitted_size, padded

SHARES = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Of the target's pixels that a window should have; one after the other."""
TRIES = 100
LEAST = 0.3
"""What the best window of all tries must have."""


@TRANSFORMS.register_module()
class LargeScaleJitter(BaseTransform):
    """Resize ``img`` and ``gt_seg_map`` to a random part of the size at which they fit into a rectangle, cut a window
    of the size that fits out of what became larger, and pad with zeros at the right and below.

    For each share of :data:`SHARES`, the largest first, :data:`TRIES` windows are drawn; the first that has so much of
    the target is taken. If there is none, the best one, where it has :data:`LEAST` of the target; else the whole photo,
    as it fits. Whether a sentence is still true of its object, as "on the left" may not be, nobody looks.

    ``fitted`` says the (height, width) of what is seen, in the upper left corner, ``img_shape`` that of the input.

    Args:
        scale: (width, height) of the rectangle, pixels.
        ratios: the least and the largest part.

    Raises:
        ValueError: ratios that are none; a mask that is yet to be loaded, or is kept at the photo's size.
    """

    def __init__(self, scale: Sequence[int] = (640, 640), ratios: Sequence[float] = (0.3, 1.4)):
        self.scale, self.ratios = tuple(scale), tuple(ratios)
        if len(self.ratios) != 2 or not 0 < self.ratios[0] <= self.ratios[1]:
            raise ValueError(f'ratios: expected the least and the largest part, above 0; got {ratios}')

    def transform(self, results: dict) -> dict:
        if 'gt_seg_map' not in results.get('seg_fields', ()):
            raise ValueError(
                "put LoadReferringMask ahead of LargeScaleJitter, and leave out score_at='photo': it trains"
            )
        photo, mask = results['img'], results['gt_seg_map']
        whole = fitted_size(photo.shape[:2], self.scale)
        size = fitted_size(photo.shape[:2], self.scale, np.random.uniform(*self.ratios))
        window = min(size[0], whole[0]), min(size[1], whole[1])
        larger = mmcv.imresize(mask, size[::-1], interpolation='nearest')
        corner = draw_window(larger == 1, window)
        if corner is None:
            size = window = whole
            corner, larger = (0, 0), mmcv.imresize(mask, size[::-1], interpolation='nearest')
        rows, columns = (slice(start, start + length) for start, length in zip(corner, window, strict=True))
        results['img'] = padded(mmcv.imresize(photo, size[::-1])[rows, columns], self.scale)
        results['gt_seg_map'] = padded(larger[rows, columns], self.scale)
        results['fitted'], results['img_shape'] = window, results['img'].shape[:2]
        return results


def draw_window(target: np.ndarray, window: tuple[int, int]) -> tuple[int, int] | None:
    """The upper left corner of a window with enough of the target, see :class:`LargeScaleJitter`; None: no drawn one
    has :data:`LEAST` of it.

    Args:
        target: (H, W) bool.
        window: (height, width), at most (H, W).
    """
    room = [side - length + 1 for side, length in zip(target.shape, window, strict=True)]
    pixels = target.sum()
    if room == [1, 1] or pixels == 0:
        return tuple(np.random.randint(room).tolist())
    sums = cv2.integral(target.astype(np.uint8))
    best = None
    for share in SHARES:
        top, left = (np.random.randint(n, size=TRIES) for n in room)
        bottom, right = top + window[0], left + window[1]
        shares = (sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]) / pixels
        enough = np.flatnonzero(shares >= share)
        chosen = enough[0] if len(enough) else shares.argmax()
        found = shares[chosen], int(top[chosen]), int(left[chosen])
        if len(enough):
            return found[1:]
        best = max(best, found) if best else found
    return best[1:] if best and best[0] >= LEAST else None
