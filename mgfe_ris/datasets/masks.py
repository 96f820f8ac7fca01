"""The forms of a mask -> pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import coco_masks
from .png_masks import read_png

Part = list | dict
"""A polygon ``[x, y, x, y, ...]`` in pixels, a run length encoding ``{size, counts}`` (compressed or not),
``{'png': path, 'value': v}``, see :func:`mgfe_ris.datasets.png_masks.read_png`, or ``{'normalized': polygon}`` in parts
of the photo's width and height."""

_LONGEST_OUTLINE, _MOST_NUMBERS = 1 << 20, 1 << 18
_MOST_PARTS = 10_000


def mask_parts(segmentation: list | dict | None) -> list[Part]:
    """COCO's ``segmentation`` (polygons, one RLE, or a list of RLEs), or None -> its parts."""
    if segmentation is None:
        return []
    if isinstance(segmentation, dict):
        return [segmentation]
    if not isinstance(segmentation, list):
        raise ValueError(f'a mask is made of polygons, RLEs or PNGs; got {str(segmentation)[:80]}')
    if segmentation and all(isinstance(x, (int, float)) for x in segmentation):
        return [segmentation]
    return list(segmentation)


def check_length(parts: Sequence[Part]) -> None:
    """Ahead of any work on them; raises ValueError for more parts, or numbers in all, than masks are made of."""
    if len(parts) > _MOST_PARTS:
        raise ValueError(f'a mask of {len(parts)} parts; at most {_MOST_PARTS} are read')
    numbers = [part.get('counts', part.get('normalized')) if isinstance(part, dict) else part for part in parts]
    longest = [len(one) for one in numbers if isinstance(one, (list, str, bytes))]
    if sum(longest) > 4 * _MOST_NUMBERS:
        raise ValueError(f'a mask of {sum(longest)} numbers; at most {4 * _MOST_NUMBERS} are read')


def check_parts(parts: Sequence[Part], height: int, width: int) -> None:
    """Look for what pycocotools would crash on, hang on or misread.

    Raises:
        ValueError: a polygon with an odd number of coordinates, less than three points, no number, all points within
            the first pixel (a hundredth beyond it is rounding), or a point farther outside the photo than the photo is
            large; an RLE of another size, or of counts that do not fill it.
    """
    check_length(parts)
    for part in _in_pixels(parts, height, width):
        if isinstance(part, list):
            _check_polygon(part, height, width)
        elif isinstance(part, dict) and 'counts' in part:
            _check_rle(part, height, width)
        elif not (isinstance(part, dict) and isinstance(part.get('png'), str)):
            raise ValueError(f'a mask is made of polygons, RLEs or PNGs; got {str(part)[:80]}')
    first = [p for p in parts if isinstance(p, list) and p[0] <= 1.01 and max(p) <= 1.01 and min(p) >= -0.01]
    if first and max(height, width) > 8:
        raise ValueError(
            f'polygons within the first pixel, {str(first[0])[:60]}: if they are in parts of width and height, say '
            '"normalized": true in the row, or multiply each x by the width and each y by the height'
        )


def decode_segmentation(
    segmentation: list | dict | None, height: int, width: int, orientation: int = 1, raw: bool = False
) -> np.ndarray:
    """The union of all parts, also where they overlap -> (height, width) uint8, 1 inside.

    Args:
        segmentation: COCO's, or parts.
        height, width: of the photo in pixels, as its EXIF turns it.
        orientation: the photo's tag of EXIF. RLEs and PNGs whose size is only that of the photo as it is stored are
            turned with it.
        raw: polygons, too, are of the photo as it is stored.

    Raises:
        ValueError: see :func:`check_parts`; a PNG that does not decode, or of another size than the photo.
        FileNotFoundError: no such PNG.
    """
    parts = [_loaded(part) for part in mask_parts(segmentation)]
    shown, stored = (height, width), turned_size((height, width), orientation)
    is_stored = [raw if _is_polygon(p) or stored == shown else _size_of(p) == stored for p in parts]
    mask = _union([p for p, turn in zip(parts, is_stored, strict=True) if not turn], shown)
    if any(is_stored):
        mask |= turned(_union([p for p, turn in zip(parts, is_stored, strict=True) if turn], stored), orientation)
    return mask


def turned_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(height, width) as stored -> as EXIF's orientation turns it, and the same back."""
    return size[::-1] if orientation >= 5 else size


def turned(mask: np.ndarray, orientation: int) -> np.ndarray:
    """A mask of the photo as it is stored -> of the photo as EXIF's orientation turns it."""
    if orientation >= 5:
        mask = mask.T
    # of the result: mirrored left to right, and top to bottom
    return mask[:: -1 if orientation in (3, 4, 7, 8) else 1, :: -1 if orientation in (2, 3, 6, 7) else 1]


def encoded_mask(mask: np.ndarray) -> dict[str, Any]:
    """(height, width) bool -> COCO's compressed RLE."""
    return coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))


def _is_polygon(part: Any) -> bool:
    return isinstance(part, list) or (isinstance(part, dict) and 'normalized' in part)


def _in_pixels(parts: Sequence[Part], height: int, width: int) -> list[Part]:
    """Polygons in parts of width and height -> in pixels."""
    if all(isinstance(p, list) for p in parts):
        return list(parts)
    return [_scaled(p['normalized'], height, width) if isinstance(p, dict) and 'normalized' in p else p for p in parts]


def _scaled(polygon: Any, height: int, width: int) -> list:
    if not isinstance(polygon, list) or not all(type(x) in (int, float) for x in polygon):
        raise ValueError(f'a polygon is made of numbers; got {str(polygon)[:80]}')
    return [x * (height if i % 2 else width) for i, x in enumerate(polygon)]


def _loaded(part: Any) -> Any:
    """A PNG's pixels in the place of its name."""
    if isinstance(part, dict) and isinstance(part.get('png'), str):
        return dict(part, pixels=read_png(part['png'], part.get('value')))
    return part


def _size_of(part: Any) -> tuple:
    if isinstance(part, dict) and 'pixels' in part:
        return part['pixels'].shape
    size = part.get('size') if isinstance(part, dict) else None
    return tuple(size) if isinstance(size, (list, tuple)) else ()


def _union(parts: list[Any], size: tuple[int, int]) -> np.ndarray:
    height, width = size
    check_parts(parts, height, width)
    rles = _rles(parts, height, width)
    mask = coco_masks.decode(coco_masks.merge(rles)) if rles else np.zeros((height, width), np.uint8)
    for part in parts:
        if isinstance(part, dict) and 'pixels' in part:
            if part['pixels'].shape != size:
                found = part['pixels'].shape[::-1]
                raise ValueError(f'{part["png"]} is {found}, the photo is {(width, height)} (width, height)')
            mask |= part['pixels']
    return mask


def _rles(parts: Sequence[Part], height: int, width: int) -> list[dict[str, Any]]:
    """Compressed, of polygons and run lengths; what is neither is passed over."""
    parts = _in_pixels(parts, height, width)
    polygons = [part for part in parts if isinstance(part, list)]
    rles = coco_masks.frPyObjects(polygons, height, width) if polygons else []
    for part in parts:
        if isinstance(part, dict) and 'counts' in part:
            rles.append(coco_masks.frPyObjects(part, height, width) if isinstance(part['counts'], list) else part)
    return rles


def is_empty(parts: Sequence[Part], height: int, width: int) -> bool:
    """Whether no pixel is inside; of parts that passed :func:`check_parts`. A PNG is not opened: False."""
    if not all(_may_be_empty(part, height, width) for part in _in_pixels(parts, height, width)):
        return False
    # not decoded: the file, which nobody has looked at yet, may say that the photo has a billion pixels
    rles = _rles(parts, height, width)
    return not rles or not coco_masks.area(coco_masks.merge(rles))


def _may_be_empty(part: Part, height: int, width: int) -> bool:
    """What is seen at once; the rest is rasterised."""
    if isinstance(part, dict):
        return 'counts' in part and not any(_counts(part)[1::2])
    x, y = np.asarray(part, float).reshape(-1, 2).T
    area = abs(x[1:] @ y[:-1] - x[:-1] @ y[1:] + x[0] * y[-1] - x[-1] * y[0]) / 2
    return area < 4 or x.max() <= 1 or y.max() <= 1 or x.min() >= width - 1 or y.min() >= height - 1


def _check_polygon(polygon: list, height: int, width: int) -> None:
    if len(polygon) > _MOST_NUMBERS:
        raise ValueError(f'a polygon of {len(polygon) // 2} points; at most {_MOST_NUMBERS // 2} are read')
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f'a polygon needs x and y of three points or more; got {len(polygon)} numbers')
    points = np.asarray(polygon)
    if points.dtype.kind not in 'iuf' or points.ndim != 1:
        raise ValueError(f'a polygon is made of numbers; got {str(polygon)[:80]}')
    for axis, size, name in ((points[::2], width, 'x'), (points[1::2], height, 'y')):
        # written so that a NaN, too, is outside
        if not (-size <= axis.min() and axis.max() <= 2 * size):
            raise ValueError(
                f'a polygon leaves the photo: {name} from {axis.min()} to {axis.max()}, of a photo of {size} pixels'
            )
    # pycocotools walks along it in steps of a fifth of a pixel, and keeps each
    length = np.abs(np.diff(points.reshape(-1, 2).astype(float), axis=0)).sum()
    if length > _LONGEST_OUTLINE:
        raise ValueError(f'the outline of a polygon is {length:.0f} pixels long')


def _check_rle(rle: dict[str, Any], height: int, width: int) -> None:
    size = rle.get('size')
    if not isinstance(size, (list, tuple)) or list(size) != [height, width] or any(type(x) is not int for x in size):
        raise ValueError(f'RLE of size {str(size)[:80]} for a photo of {[height, width]} (height, width)')
    counts = _counts(rle)
    if not isinstance(counts, list) or not all(type(c) is int and 0 <= c <= height * width for c in counts):
        raise ValueError('the counts of an RLE are a string, or numbers from 0 to the number of pixels')
    if sum(counts) != height * width:
        raise ValueError(f'the counts of an RLE add up to {sum(counts)}, the photo has {height * width} pixels')


def _counts(rle: dict[str, Any]) -> Any:
    counts = rle['counts']
    if isinstance(counts, (str, bytes)):
        counts = _uncompress(counts.encode() if isinstance(counts, str) else counts)
    return counts


def _uncompress(text: bytes) -> list[int]:
    """COCO's string: six bits a character, the lowest first, from the third number on as a difference to the one before
    the last."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = character - 48
        # pycocotools shifts an int of C: seven characters would overflow, and no photo needs them
        if not 0 <= bits < 64 or shift > 25:
            raise ValueError('the counts of an RLE are no COCO string')
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError('the counts of an RLE end in the middle of a number')
    return counts
