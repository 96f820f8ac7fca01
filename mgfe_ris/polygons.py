"""Polygons -> masks, as COCO's tools fill them; and polygons of a model's input -> polygons of the photo."""

from collections.abc import Sequence

import numpy as np

from . import coco_masks


def filled(polygons: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """What lies within one of the polygons.

    Args:
        polygons: (P, N, 2), x and y in pixels; (0, 0) is the upper left corner of the first pixel. Vertices that are
            NaN are none; less than three make no area.
        size: (height, width) in pixels.

    Returns:
        (height, width) bool.
    """
    outlines = (outline[np.isfinite(outline).all(-1)] for outline in polygons)
    # four numbers would be a box to pycocotools
    flat = [outline.ravel().tolist() for outline in outlines if len(outline) > 2]
    if not flat:
        return np.zeros(tuple(size), bool)
    return coco_masks.decode(coco_masks.merge(coco_masks.frPyObjects(flat, *size))).astype(bool)


def moved(
    polygons: np.ndarray,
    input_size: Sequence[int],
    size: Sequence[int],
    to_input: Sequence[Sequence[float]] | None = None,
    stretched_from: Sequence[int] | None = None,
) -> np.ndarray:
    """From the model's input to the photo.

    Args:
        polygons: (P, N, 2), x and y in pixels of the input.
        input_size: (height, width) of the input.
        size: of the photo, or of the input.
        to_input: where the photo lies in the input, see :mod:`mgfe_ris.structures`; None: it was stretched.
        stretched_from: of the photo, where ``size`` is one that it is stretched to.

    Returns:
        (P, N, 2), x and y in pixels of ``size``.
    """
    size, input_size = tuple(size), tuple(input_size)
    sides = np.array(input_size[::-1], float)
    # what an untrained model throws far out is brought nearer: filling takes memory for each pixel of an edge
    polygons = polygons.clip(-sides, 2 * sides)
    if to_input is None:
        return polygons * (np.array(size[::-1]) / sides)
    if stretched_from is None and size == input_size:
        return polygons
    photo = tuple(stretched_from or size)
    matrix = np.array(to_input, float)
    # a pixel's number is that of its middle, half a pixel from the corner that polygons count from
    in_photo = (polygons - 0.5 - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T + 0.5
    return in_photo * (np.array(size[::-1]) / np.array(photo[::-1]))
