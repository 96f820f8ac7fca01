"""labelme: a JSON file beside each photo."""

import base64
import binascii
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..masks import Part
from ..plain_pickle import no_garbage
from .objects import Object, Photos, Shape, objects_of, sentences_of
from .outlines import check_crop, crop_rle, ellipse, polygon, rectangle


def read_labelme(
    source: str | Path, photos: Photos, skipped: Counter, sentence_from: str | None = None
) -> Iterator[Object]:
    """Shapes of one ``group_id`` are one object.

    Args:
        source: a file, or a folder with files, in folders, too.
        photos: of which the files speak.
        skipped: counts what is left out.
        sentence_from: ``description`` (default: also ``text``, of a shape or of its flags) or ``label``.

    Raises:
        FileNotFoundError: no such source, no JSON file in it, or a photo that is missing.
        ValueError: a file of another form, or a wrong shape; both are named.
    """
    if sentence_from not in (None, 'description', 'label'):
        raise ValueError(f'--sentence-from of labelme is description or label; got {sentence_from!r}')
    path = Path(source)
    files = sorted(path.rglob('*.json')) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f'{source}: no JSON file of labelme')
    for file in files:
        content = _content(file)
        if content is None and len(files) > 1:
            skipped['JSON files that are not of labelme'] += 1
        elif content is None:
            raise ValueError(f'{file}: not of labelme: it has no "shapes" and "imagePath"')
        else:
            name = content['imagePath'].replace('\\', '/')
            beside = os.path.abspath(file.parent / name)  # as labelme means it, where the files were not moved
            name = beside if '/' not in name or os.path.isfile(beside) else name
            said = content.get('imageHeight'), content.get('imageWidth')
            photo, size = photos.check(name, said, str(file))
            shapes = _shapes(file, content['shapes'], size, sentence_from, skipped)
            yield from objects_of(shapes, photo, size, skipped)


def _content(file: Path) -> dict | None:
    try:
        with no_garbage():
            content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{file}: not JSON ({error})') from error
    ours = isinstance(content, dict) and isinstance(content.get('shapes'), list)
    return content if ours and isinstance(content.get('imagePath'), str) else None


def _shapes(
    file: Path, shapes: list, size: tuple[int, int], sentence_from: str | None, skipped: Counter
) -> Iterator[Shape]:
    for number, shape in enumerate(shapes, 1):
        where = f'{file}, shape {number}'
        if not isinstance(shape, dict):
            raise ValueError(f'{where}: expected an object by name; got {str(shape)[:60]}')
        try:
            part = _part(shape, size)
        except (KeyError, TypeError, ValueError) as error:
            reason = f'it lacks {error}' if isinstance(error, KeyError) else error
            raise ValueError(f'{where} ({str(shape.get("label"))[:60]}): {reason}') from error
        if part is None:
            skipped[f'shapes of type {str(shape.get("shape_type"))[:30]}'] += 1
        else:
            yield Shape(shape.get('group_id'), [part], _sentences(shape, sentence_from, where), where)


def _sentences(shape: dict, sentence_from: str | None, where: str) -> list[str]:
    if sentence_from == 'label':
        return sentences_of(shape.get('label'), where)
    flags = shape.get('flags') or {}
    flagged = flags.get('text') if isinstance(flags, dict) and isinstance(flags.get('text'), str) else None
    return sentences_of(shape.get('description') or shape.get('text') or flagged, where)


def _part(shape: dict, size: tuple[int, int]) -> Part | None:
    """None: a type that has no inside."""
    kind, points = shape.get('shape_type') or 'polygon', shape['points']
    if kind in ('polygon', 'oriented_rectangle'):
        return polygon(points)
    if kind not in ('rectangle', 'circle', 'mask'):
        return None
    corners = np.asarray(polygon(points)).reshape(-1, 2).tolist()
    if len(corners) != 2:
        raise ValueError(f'a {kind} has two points; got {len(corners)}')
    (x0, y0), (x1, y1) = corners
    if kind == 'rectangle':
        return rectangle(x0, y0, x1, y1)
    if kind == 'circle':  # its middle, and a point of the line
        radius = math.hypot(x1 - x0, y1 - y0)
        return ellipse(x0, y0, radius, radius)
    left, top, right, bottom = int(x0), int(y0), int(x1), int(y1)
    check_crop(left, top, right - left + 1, bottom - top + 1, size)
    return crop_rle(_crop(shape['mask'], (right - left + 1, bottom - top + 1)), left, top, size)


def _crop(text: Any, size: tuple[int, int]) -> np.ndarray:
    """A PNG in base64; ``size``: (width, height)."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=['PNG']) as png:
            if png.size != size:
                raise ValueError(f'a mask of {png.size} pixels between corners for {size} (width, height)')
            return np.asarray(png.convert('L'))
    except (binascii.Error, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f'its mask is no PNG in base64 ({error})') from error
