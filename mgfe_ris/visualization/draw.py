"""Masks on photos. Pictures are RGB arrays, (height, width, 3) uint8; masks are bool, (height, width)."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from .fonts import Lettering, clusters

# Okabe and Ito's blue and orange: colour-blind people can tell them apart
TRUTH = (0, 114, 178)
PREDICTION = (230, 159, 0)
# Theirs, too, for several masks on one photo; the first is PREDICTION
PALETTE = (PREDICTION, (86, 180, 233), (0, 158, 115), (204, 121, 167), TRUTH, (213, 94, 0))


def read_photo(path: str | Path) -> np.ndarray:
    """An image file -> RGB picture, upright."""
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))


def resized(photo: np.ndarray, width: int = 192) -> np.ndarray:
    """To a width in pixels."""
    height = round(photo.shape[0] * width / photo.shape[1])
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_CUBIC)


def overlay(
    photo: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = PREDICTION, alpha: float = 0.45
) -> np.ndarray:
    """The photo with the mask filled translucently and outlined; a mask of another size is stretched.

    The outline lies inside: what is not meant stays as it is. It is a line in the colour and a white one within it, so
    that one of them shows on a photo of any colour.
    """
    picture = photo.copy()
    mask = _stretched(mask, photo)
    if not mask.any():
        return picture
    window = _window(mask)
    patch, mask = picture[window], mask[window]
    side = max(photo.shape)
    line = max(1, min(2, round(side / 64)), round(side / 200))
    depth = _depth(mask)
    blend = np.rint((1 - alpha) * np.arange(256)[:, None] + alpha * np.array(colour)).astype(np.uint8)
    np.copyto(patch, cv2.LUT(patch, blend[None]), where=mask[..., None])
    patch[mask & (depth < line + max(1, line // 2) + 0.5)] = 255
    patch[mask & (depth < line + 0.5)] = colour
    return picture


def outlined(photo: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The photo with a white line in a black one around the mask, which shows on every colour; a mask of another size
    is stretched."""
    contours, _ = cv2.findContours(_stretched(mask, photo).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    picture = cv2.drawContours(photo.copy(), contours, -1, (0, 0, 0), 3)
    return cv2.drawContours(picture, contours, -1, (255, 255, 255), 1)


def _stretched(mask: np.ndarray, photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    if mask.shape == (height, width):
        return mask
    return cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _window(mask: np.ndarray) -> tuple[slice, slice]:
    """Where the mask is: the rest of a large photo need not be looked at again."""
    rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _depth(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the next outside of the mask, or of the photo: 1 on the border."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def caption(picture: np.ndarray, text: str, size: int | None = None) -> np.ndarray:
    """The picture with lines of text below it, wrapped to its width; ``size`` is the font's, in pixels."""
    width = picture.shape[1]
    size = size or min(max(11, width // 28), 200)  # of a strip that is 60,000 wide, letters would fill gigabytes
    letters = Lettering(text, size)
    lines = _wrap(letters, width - size)
    strip = Image.new('RGB', (width, round(1.35 * size * len(lines) + 0.5 * size)), 'white')
    canvas = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        letters.draw(canvas, size // 2, round((1.35 * i + 0.2) * size) + letters.ascent, line)
    return np.concatenate([picture, np.asarray(strip)])


def grid(pictures: Sequence[np.ndarray], columns: int, gap: int = 6) -> np.ndarray:
    """Pictures in rows, each row as high as its highest picture, on white."""
    rows = [
        _beside(pictures[i : i + columns], columns, max(p.shape[1] for p in pictures), gap)
        for i in range(0, len(pictures), columns)
    ]
    return np.concatenate(rows)


def _beside(pictures: Sequence[np.ndarray], columns: int, width: int, gap: int) -> np.ndarray:
    height = max(p.shape[0] for p in pictures)
    row = np.full((height + gap, columns * (width + gap), 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        row[: picture.shape[0], i * (width + gap) :][:, : picture.shape[1]] = picture
    return row


def _wrap(letters: Lettering, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in letters.text.split('\n'):
        line = ''
        for part in (p for word in paragraph.split() for p in _parts(letters, word, width)):
            longer = f'{line} {part}'.strip()
            if line and letters.length(longer) > width:
                lines.append(line)
                line = part
            else:
                line = longer
        lines.append(line)
    return lines


def _parts(letters: Lettering, word: str, width: int) -> Iterator[str]:
    """A word as it is, or, if it is wider than the picture, in parts that fit. Chinese is one long word."""
    left = list(clusters(word))
    while left:
        most = range(1, min(len(left), max(width, 1)) + 1)  # no letter is narrower than a pixel
        fit = bisect_right(most, width, key=lambda end: ceil(letters.length(''.join(left[:end]))))
        part, left = left[: max(fit, 1)], left[max(fit, 1) :]
        yield ''.join(part)
