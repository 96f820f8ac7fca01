"""Masks on photos. Pictures are RGB arrays, (height, width, 3) uint8; masks are bool, (height, width)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

# Okabe and Ito's blue and orange: colour-blind people can tell them apart
TRUTH = (0, 114, 178)
PREDICTION = (230, 159, 0)


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
    """The photo with the mask filled translucently and outlined; a mask of another size is stretched."""
    height, width = photo.shape[:2]
    if mask.shape != (height, width):
        mask = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    picture = photo.copy()
    picture[mask] = (1 - alpha) * photo[mask] + alpha * np.array(colour)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outlined = cv2.drawContours(picture, contours, -1, colour, max(3, round(max(height, width) / 150)))
    outlined[~mask] = photo[~mask]  # the outline lies inside: what is not meant stays as it is
    return outlined


def caption(picture: np.ndarray, text: str, size: int | None = None) -> np.ndarray:
    """The picture with lines of text below it, wrapped to its width; ``size`` is the font's, in pixels."""
    width = picture.shape[1]
    size = size or max(11, width // 28)
    font = ImageFont.load_default(size)
    lines = _wrap(text, font, width - size)
    strip = Image.new('RGB', (width, round(1.35 * size * len(lines) + 0.5 * size)), 'white')
    draw = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        draw.text((size // 2, round((1.35 * i + 0.2) * size)), line, fill='black', font=font)
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


def _parts(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> Iterator[str]:
    """A word as it is, or, if it is wider than the picture, in parts that fit."""
    while word:
        end = len(word)
        while end > 1 and font.getlength(word[:end]) > width:
            end -= 1
        yield word[:end]
        word = word[end:]


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split('\n'):
        line = ''
        for part in (p for word in paragraph.split() for p in _parts(word, font, width)):
            longer = f'{line} {part}'.strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                line = part
            else:
                line = longer
        lines.append(line)
    return lines
