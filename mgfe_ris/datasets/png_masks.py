"""Masks that are pictures: which of their pixels are the object."""

from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

_VOID = 255
_MOST_PIXELS = 89_000_000  # as of a photo
_COLOUR = np.array([1 << 16, 1 << 8, 1])  # a colour as one number
_LARGEST_LABEL = 32  # below it, a value beside 255 is a label; above, it may be the soft edge of white


def read_png(png: str | BinaryIO, value: Any = None) -> np.ndarray:
    """(height, width) bool, as the file's own EXIF turns it: True on the object.

    An alpha channel that varies is the object where all that is seen has one colour. Without ``value``, the object is
    what is not 0, if that is a single value (or colour); 255 beside a label is no object, as in Pascal VOC.

    Args:
        png: the file, or its name.
        value: of the object's pixels: a number (of a palette: as it is stored), a list (red, green, blue), or
            ``'any'`` but 0.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no readable PNG; several values without ``value``; colours and alpha that contradict each other.
    """
    pixels, alpha = _pixels(png, as_stored=value is not None)
    if alpha is not None and alpha.min() < alpha.max():
        seen = pixels[alpha > 0]
        if seen.min() == seen.max():
            return alpha >= 128
        if value is None and not np.array_equal(pixels != 0, alpha > 0):
            raise ValueError(
                f'{png}: both its colours and its alpha channel vary, and differ; save the mask without alpha'
            )
    if value is not None:
        return pixels != 0 if value == 'any' else pixels == _number(value)
    return _only_object(png, pixels)


def check_mask_value(value: Any) -> Any:
    """See :func:`read_png`; raises ValueError for what is none."""
    whole = type(value) is int and 0 <= value < 2**16
    colour = (
        isinstance(value, (list, tuple)) and len(value) == 3 and all(type(v) is int and 0 <= v < 256 for v in value)
    )
    if not (value is None or value == 'any' or whole or colour):
        raise ValueError(f"mask_value must be a pixel's value, a list (red, green, blue), or 'any'; got {value!r}")
    return value


def _pixels(path: str | BinaryIO, as_stored: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """A number per pixel, and alpha from 0 to 255; None: no alpha channel. ``as_stored``: a palette's own numbers."""
    try:
        with Image.open(path) as png:
            if png.format != 'PNG':
                raise ValueError(f'{path} is a {png.format}, which may change pixels; a mask must be a PNG')
            if png.width * png.height > _MOST_PIXELS:
                raise ValueError(f'{path} has {png.width} x {png.height} pixels, more than {_MOST_PIXELS:,}')
            turned = ImageOps.exif_transpose(png)
            has_alpha = 'A' in turned.getbands() or 'transparency' in turned.info
            alpha = np.asarray(turned.convert('RGBA'))[..., 3] if has_alpha else None
            if turned.mode == 'P':
                return np.asarray(turned) if as_stored else _palette_pixels(turned), alpha
            pixels = np.asarray(turned)
    except FileNotFoundError:
        raise FileNotFoundError(f'{path}: no such mask') from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable mask ({error})') from error
    if pixels.ndim == 2:
        return pixels, alpha
    if pixels.shape[-1] < 3 or (pixels[..., :1] == pixels[..., 1:3]).all():
        return pixels[..., 0], alpha  # grey
    return pixels[..., :3].astype(np.int64) @ _COLOUR, alpha


def _palette_pixels(png: Image.Image) -> np.ndarray:
    """The numbers of the palette's colours; exchanged where 0 is white and 1 black, and there is no other colour:
    some programs count the two of a mask that way."""
    numbers = np.asarray(png)
    colours = np.array(png.getpalette('RGB') or [0] * 768).reshape(-1, 3)
    white_first = (colours[:1] == 255).all() and not colours[1:].any()  # after the two, some fill up with black
    return 1 - numbers if white_first and len(colours) > 1 and numbers.max() <= 1 else numbers


def _number(value: Any) -> int:
    return value if isinstance(value, int) else int(np.dot(value, _COLOUR))


def _only_object(path: str | BinaryIO, pixels: np.ndarray) -> np.ndarray:
    values = np.unique(pixels)
    values = values[values != 0]
    labels = values[values != _VOID]
    if len(values) == 2 and len(labels) == 1 and labels[0] < _LARGEST_LABEL:
        return pixels == labels[0]
    if len(values) > 1:
        some = ', '.join(map(_told, values[:6])) + (', ...' if len(values) > 6 else '')
        raise ValueError(
            f'{path} has {len(values)} values other than 0 ({some}). Say which is the object: mask_value in the row or '
            "the data set (mask_value='any' for all of them)"
        )
    return pixels != 0


def _told(value: np.integer) -> str:
    """As a user would write it: only numbers of colours have 64 bits."""
    return str([int(value) // base % 256 for base in _COLOUR.tolist()] if value.dtype == np.int64 else int(value))
