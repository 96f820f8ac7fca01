"""What the headers of photos and masks say, without their pixels."""

import hashlib
import io
import os
import re
from collections.abc import Container, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from .masks import turned_size


class Header(NamedTuple):
    size: tuple[int, int]
    """(height, width) in pixels, as EXIF turns it."""
    orientation: int
    """EXIF's; 1: as it is stored."""

    @property
    def stored(self) -> tuple[int, int]:
        """(height, width) as it is stored."""
        return turned_size(self.size, self.orientation)


def read_header(path: str | Path, form: str | None = None) -> Header:
    """Of a photo or, with ``form`` as Pillow names it, of a file of that form.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no readable image.
    """
    try:
        with open(path, 'rb') as file:
            return _header(file, form)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: no such photo. Set data_root and img_folder to where the photos lie'
        ) from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable image ({error})') from error


def photo_size(path: Path) -> tuple[int, int]:
    """(height, width), as EXIF turns it; raises what :func:`read_header` does."""
    return read_header(path).size


def header_of_bytes(photo: bytes) -> Header:
    """Raises ValueError for no readable image."""
    try:
        return _header(io.BytesIO(photo))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f'the photo inside is not a readable image ({error})') from error


def name_of_bytes(photo: bytes, name: str) -> str:
    """A file name for a photo that stood in a row: equal for equal bytes in the first 16 letters, readable behind."""
    digest = hashlib.blake2b(photo, digest_size=8).hexdigest()
    last = re.sub(r'[^\w.-]', '_', PurePosixPath(name.replace('\\', '/')).name)[-60:]
    return f'{digest}_{last}' if last else digest


def check_files(
    files: Mapping[str, tuple[int, int]],
    form: str | None = None,
    may_be_stored: bool = False,
    may_be_turned: Container[str] = (),
) -> dict[str, Header]:
    """Only the headers are read, some 50 us a photo: one that does not fit must not end a training hours later.

    Args:
        files: (height, width) that is expected by path; (0, 0): any.
        form: as Pillow names it; None: any.
        may_be_stored: the size may also be that of the photo as it is stored, not turned.
        may_be_turned: paths of those whose height and width may also be exchanged.

    Returns:
        The headers by path.

    Raises:
        FileNotFoundError, ValueError: files that are missing, or do not fit: counted, the first named.
    """
    what = 'masks' if form else 'photos'
    missing = sorted(path for path in files if not os.path.isfile(path))
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} {what} are missing; the first is {missing[0]}. Set data_root and img_folder to where '
            f'the {what} lie'
        )
    found, wrong = {}, []
    for path, size in sorted(files.items()):
        try:
            found[path] = header = read_header(path, form)
        except ValueError:
            wrong.append(f'{path} is not a readable {form or "image"}')
            continue
        fitting = [header.size, header.stored if may_be_stored else header.size]
        fitting += [header.size[::-1]] if path in may_be_turned else []
        if any(size) and size not in fitting:
            wrong.append(f'{path} is {header.size[::-1]}, its annotation says {size[::-1]} (width, height)')
    if wrong:
        raise ValueError(
            f'{len(wrong)} {what} do not fit their annotation; the first: {wrong[0]}. Download them again, or set '
            f'img_folder to the {what} of this data set'
        )
    return found


def _header(file: IO[bytes], form: str | None = None) -> Header:
    with Image.open(file, formats=[form] if form else None) as photo:
        orientation = photo.getexif().get(0x112, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        size = photo.size[::-1]
        if isinstance(photo, TiffImageFile):  # its size may be turned already, which depends on Pillow's version
            size = photo.tag_v2[IMAGELENGTH], photo.tag_v2[IMAGEWIDTH]
        return Header(turned_size(size, orientation), orientation)
