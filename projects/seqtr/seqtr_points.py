"""Mask -> points of its outline; points -> a sequence of numbers; and back."""

import cv2
import numpy as np
import torch
from torch import Tensor


def outline_points(mask: np.ndarray, count: int, centred: bool = False) -> np.ndarray:
    """Points of the outline of the largest part of a mask; holes and other parts are lost.

    Args:
        mask: (H, W) of 0 and 1.
        count: N.
        centred: the farthest point from the centre of mass in each of N directions, where the centre lies inside; else
            every so many pixels of the outline.

    Returns:
        (2, N) float32, x and y in pixels; -1: no point, where the outline has less. All are -1 for a line or a dot.
    """
    points = np.full((2, count), -1, np.float32)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return points
    outline = max(outlines, key=cv2.contourArea)
    moments = cv2.moments(outline)
    if moments['m00'] == 0:
        return points
    outline = outline[:, 0].astype(np.float32)
    centre = np.float32([moments['m10'], moments['m01']]) / np.float32(moments['m00'])
    if len(outline) <= count:
        chosen = outline
    elif centred and cv2.pointPolygonTest(outline, centre.tolist(), False) > 0:
        chosen = _in_directions(outline, centre, count)
    else:
        chosen = outline[:: -(-len(outline) // count)]
    limits = np.float32(mask.shape[::-1]) - 1
    points[:, : len(chosen)] = chosen.clip(0, limits).T
    return points


def _in_directions(outline: np.ndarray, centre: np.ndarray, count: int) -> np.ndarray:
    """(M, 2): in each of N directions, or in the next whole degree that has any, up to 5 to each side, as far from the
    centre as the farthest point of the outline; M of them have one."""
    x, y = (outline - centre).T
    degrees = (np.degrees(np.arctan2(y, x)) % 360).astype(int)
    far = np.hypot(x, y)
    found = []
    for direction in range(0, 360, 360 // count):
        for off in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5):
            if (there := degrees == direction + off).any():
                angle = np.radians(direction + off)
                found.append(centre + far[there].max() * np.float32([np.cos(angle), np.sin(angle)]))
                break
    return np.array(found[:count], np.float32).reshape(-1, 2)


def to_sequence(points: Tensor, size: tuple[int, int], bins: int) -> Tensor:
    """Points as numbers: x, y, x, y, ..., and the end.

    Args:
        points: (B, 2, N), x and y in pixels, below 0 where there is none.
        size: (height, width) of the input.
        bins: that each axis has; this number is the end, and stands for a point that is none.

    Returns:
        (B, 2 N + 1) int64.
    """
    height, width = size
    numbers = (points / points.new_tensor([width, height])[:, None] * bins).trunc().long()
    numbers = numbers.mT.flatten(1)
    return torch.cat([numbers.masked_fill(numbers < 0, bins), numbers.new_full((len(numbers), 1), bins)], dim=1)


def to_polygons(sequence: Tensor, size: tuple[int, int], bins: int) -> Tensor:
    """Numbers as polygons, up to the first end; an odd one is left out.

    Four numbers are no two points: COCO's tools, which fill the official masks, read left, upper border, width
    and height of a box.

    Args:
        sequence: (B, L).
        size: (height, width) of the input.
        bins: that each axis has; this number is the end.

    Returns:
        (B, 1, N, 2), x and y in pixels, NaN where there is no point.
    """
    height, width = size
    count = (sequence == bins).cumsum(1).eq(0).sum(1) // 2
    steps = sequence.new_tensor([width, height]) / bins
    points = sequence[:, : sequence.shape[1] // 2 * 2].unflatten(1, (-1, 2)) * steps
    order = torch.arange(points.shape[1], device=points.device)
    polygons = points.masked_fill((order >= count[:, None])[..., None], torch.nan)
    if points.shape[1] < 4:
        polygons = torch.cat([polygons, polygons.new_full((len(points), 4 - points.shape[1], 2), torch.nan)], dim=1)
    (left, upper), (wide, high) = points[:, 0].unbind(1), points[:, 1].unbind(1)
    box = torch.stack([left, upper, left, upper + high, left + wide, upper + high, left + wide, upper], dim=1)
    boxes = torch.full_like(polygons, torch.nan)
    boxes[:, :4] = box.unflatten(1, (4, 2))
    return torch.where((count == 2)[:, None, None], boxes, polygons)[:, None]
