"""Shapes of labelling tools -> parts of a mask, in pixels."""

import math
from typing import Any

import numpy as np

from ... import coco_masks

MOST_POINTS, _LARGEST = 1 << 17, 1 << 15


def polygon(points: Any) -> list[float]:
    """(n, 2) points -> ``[x, y, x, y, ...]``.

    Raises:
        ValueError: points that are none.
    """
    if isinstance(points, list) and len(points) > MOST_POINTS:
        raise ValueError(f'a polygon of {len(points)} points; at most {MOST_POINTS} are read')
    try:
        array = np.asarray(points, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f'points are pairs of numbers; got {str(points)[:60]}') from error
    if array.ndim != 2 or array.shape[1] != 2 or not np.isfinite(array).all():
        raise ValueError(f'points are pairs of numbers; got {str(points)[:60]}')
    return [round(x, 3) for x in array.ravel().tolist()]


def rectangle(x0: float, y0: float, x1: float, y1: float, degrees: float = 0) -> list[float]:
    """Between two corners, turned clockwise about its middle."""
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], dtype=float)
    middle, turn = corners.mean(0), math.radians(degrees)
    matrix = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    return polygon((corners - middle) @ matrix + middle)


def ellipse(x: float, y: float, rx: float, ry: float) -> list[float]:
    """About a middle: so many points that it leaves the curve by less than 0.05 pixels.

    Raises:
        ValueError: larger than photos are.
    """
    if not max(abs(rx), abs(ry)) < _LARGEST:
        raise ValueError(f'an ellipse with the radii {rx:g} and {ry:g}')
    number = max(24, math.ceil(math.pi * math.sqrt(10 * max(rx, ry, 1))))
    angles = np.linspace(0, 2 * math.pi, number, endpoint=False)
    return polygon(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1))


def check_crop(left: int, top: int, width: int, height: int, size: tuple[int, int]) -> None:
    """Ahead of making it; raises ValueError for a crop that is not within a photo of ``size`` (height, width)."""
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(
            f'a mask of {width} x {height} pixels at ({left}, {top}) leaves the photo of {size[1]} x {size[0]}'
        )


def crop_rle(crop: np.ndarray, left: int, top: int, size: tuple[int, int]) -> dict:
    """A crop of a mask (h, w) whose corner is at (left, top) of a photo of ``size`` (height, width) -> RLE.

    Raises:
        ValueError: it leaves the photo.
    """
    height, width = crop.shape
    check_crop(left, top, width, height, size)
    mask = np.zeros(size, np.uint8, order='F')
    mask[top : top + height, left : left + width] = crop != 0
    rle = coco_masks.encode(mask)
    return {'size': list(size), 'counts': rle['counts'].decode()}


def from_rows(counts: list[int], height: int, width: int) -> np.ndarray:
    """Run lengths row by row, as CVAT has them, 0 first -> (height, width) bool.

    Raises:
        ValueError: they do not fill it.
    """
    # the sides first: a small file must not ask for a large array
    if not (0 < height < 2**15 and 0 < width < 2**15) or min(counts, default=-1) < 0 or sum(counts) != height * width:
        raise ValueError(f'run lengths that add up to {sum(counts)} for a mask of {width} x {height} pixels')
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(height, width)
