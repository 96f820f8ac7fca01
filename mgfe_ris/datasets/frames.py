"""Photos that EXIF turns: are their annotations of the photo as it is shown, or as it is stored?"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger

from .index import SharedIndex
from .masks import Part
from .photo_files import Header, read_header


def photo_frames(
    index: SharedIndex, chosen: np.ndarray, turned: dict[int, Header], found: Callable[[Part], Part], source: Path
) -> dict[int, tuple[int, bool]]:
    """What masks of turned photos need to be decoded, see :func:`mgfe_ris.datasets.masks.decode_segmentation`.

    The size that the annotations say decides: of the photo, of an RLE, of a PNG; without any, polygons that fit one
    frame alone. Where nothing decides, the photo as it is shown is taken, and a warning counts such photos.

    Args:
        index: of the annotations.
        chosen: numbers of the objects.
        turned: headers of the photos that have an orientation other than 1, by number.
        found: makes the names of PNGs those of files.
        source: what the warning names.

    Returns:
        (orientation, whether polygons are of the photo as it is stored), by photo.
    """
    frames, unsure = {}, []
    objects: dict[int, list[int]] = {photo: [] for photo in turned}
    for i in chosen[np.isin(index.photo[chosen], list(turned))].tolist():
        objects[int(index.photo[i])].append(i)
    for photo, header in turned.items():
        is_stored = None
        if header.size != header.stored:
            parts = [found(part) for i in objects[photo] for part in index.parts(i)]
            is_stored = _is_stored(header, index.size(photo), parts)
        frames[photo] = header.orientation, bool(is_stored)
        if is_stored is None:
            unsure.append(photo)
    if unsure:
        MMLogger.get_current_instance().warning(
            f'{source}: {len(unsure)} photos are turned by their EXIF, and nothing says whether their masks are, too; '
            f'the first is {index.photo_name(unsure[0])}. Masks are taken to fit the photo as viewers show it. Say '
            'height and width in the annotations, or save the photos turned'
        )
    return frames


def _is_stored(header: Header, annotated: tuple[int, int], parts: list[Part]) -> bool | None:
    """None: nothing says it."""
    told = {annotated} if any(annotated) else set(_sizes(parts))
    if (header.size in told) != (header.stored in told):
        return header.stored in told
    outlines = [part for part in parts if isinstance(part, list)]
    fits_shown, fits_stored = (all(_fits(p, size) for p in outlines) for size in (header.size, header.stored))
    return fits_stored if fits_shown != fits_stored else None


def _sizes(parts: list[Part]) -> Iterator[tuple[int, int]]:
    for part in parts:
        if isinstance(part, dict) and 'png' in part and Path(part['png']).is_file():
            yield read_header(part['png'], 'PNG').size
        elif isinstance(part, dict) and isinstance(part.get('size'), (list, tuple)):
            yield tuple(part['size'])


def _fits(polygon: list, size: tuple[int, int]) -> bool:
    height, width = size
    numbers = [x for x in polygon if isinstance(x, (int, float))]
    return max(numbers[::2], default=0) <= width and max(numbers[1::2], default=0) <= height
