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

MAX_PIXELS = 89_000_000
"""More in a photo is taken for a mistake, or for a decompression bomb, of which Pillow warns from here on."""
_ANY_SIZE, _PIXELS_PER_BYTE = 16_000_000, 50
"""Photos of more pixels than the first have a byte for so many: cameras write twenty times as much."""
_HEADER_READS, _READS = 4_000, 200_000
"""In a photo's header, and in all of it: cameras and programs write a tenth of that."""
_FEW_SCANS, _SCANS, _SCANNED = 16, 64, 600_000_000
"""Scans that any JPEG may have that comes finer and finer, that a small one may have, and these times its pixels: each
costs a pass over all of them."""

_JPEG_MARKER = re.compile(rb'\xff[\xc0-\xcf\xd9-\xfe]')
"""Of a segment with a length, of a scan, or of the end; what is compressed has none. Decoders skip no others by a
length, so nothing can be hidden in one."""


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
        with FewReadsFile(open(path, 'rb', buffering=0)) as file:
            return _header(file, form)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path}: no such photo. Set data_root and img_folder to where the photos lie'
        ) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f'{path}: not a readable image ({error})') from error


def photo_size(path: Path) -> tuple[int, int]:
    """(height, width), as EXIF turns it; raises what :func:`read_header` does."""
    return read_header(path).size


def header_of_bytes(photo: bytes) -> Header:
    """Raises ValueError for no readable image."""
    try:
        return _header(FewReadsBytes(photo))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
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


class _FewReads:
    """A file that may be read in so many pieces only.

    Pillow goes through the blocks of a header, and the runs of some bitmaps, one by one in Python; what it then does
    with a GIF's comments grows with the square of their number: 2 MB of them took 14 seconds.
    """

    left = _HEADER_READS

    def read(self, size: int | None = -1) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError('too many pieces')
        return super().read(size)  # type: ignore[misc]

    def may_be_decoded(self) -> None:
        """The header was read; more follows."""
        self.left = _READS


class FewReadsBytes(_FewReads, io.BytesIO):
    """Of a file in memory."""


class FewReadsFile(_FewReads, io.BufferedReader):
    """Of a file that was opened without a buffer."""


def check_pixels(size: tuple[int, int], count: int, max_pixels: int = MAX_PIXELS) -> None:
    """Compare width and height, in pixels, with the ``count`` of bytes that the photo has.

    Raises:
        ValueError: more than ``max_pixels``, or far more than so few bytes are for.
    """
    pixels = size[0] * size[1]
    said = f'it has {size[0]} x {size[1]} pixels'
    if pixels > max_pixels:
        raise ValueError(f'{said}, more than {max_pixels:,}; make it smaller first')
    if pixels > max(_ANY_SIZE, _PIXELS_PER_BYTE * count):
        raise ValueError(f'{said} in {count:,} bytes, as no camera writes it; make it smaller first')


def check_jpeg(data: bytes, pixels: int = 0) -> None:
    """Check that a JPEG is whole, and has no more scans than programs write; other forms pass.

    Args:
        data: the file.
        pixels: width times height; 0: not known.

    Raises:
        ValueError: it is cut off, for which OpenCV before 4.11 makes up the rest; or it has too many scans or segments.
    """
    if data[:2] != b'\xff\xd8':
        return
    scans, most = _count_scans(data), max(_FEW_SCANS, min(_SCANS, _SCANNED // (pixels or 1)))
    if scans > most:
        raise ValueError(f'a JPEG of {scans} scans, more than {most}: save it anew, as a plain one')


def _count_scans(data: bytes) -> int:
    """Up to the end of a JPEG's first picture: phones put a film or a second picture behind it."""
    place, scans = 2, 0
    for _ in range(_HEADER_READS):
        found = _JPEG_MARKER.search(data, place)
        if found is None:
            raise ValueError('not a whole photo, its end is missing: download it again, or save it anew')
        kind, place = found.group()[1:], found.end()
        if kind == b'\xd9':
            return scans
        scans += kind == b'\xda'
        place += int.from_bytes(data[place : place + 2], 'big')
    raise ValueError('a JPEG of too many pieces: save it anew')


def _check_webp(file: IO[bytes]) -> None:
    """Older ones of Pillow (11.0) make a whole canvas of what the header of a WEBP says, ahead of all other checks."""
    head = file.read(30)
    if head[:4] == b'RIFF' and head[8:16] == b'WEBPVP8X':
        width, height = (1 + int.from_bytes(head[i : i + 3], 'little') for i in (24, 27))
        check_pixels((width, height), file.seek(0, io.SEEK_END))
    file.seek(0)


def _header(file: IO[bytes], form: str | None = None) -> Header:
    if form is None:
        _check_webp(file)
    with Image.open(file, formats=[form] if form else None) as photo:
        file.may_be_decoded()  # type: ignore[attr-defined]
        if form is None:
            place = file.tell()
            check_pixels(photo.size, file.seek(0, io.SEEK_END))
            file.seek(place)
        orientation = photo.getexif().get(0x112, 1)
        orientation = orientation if orientation in range(1, 9) else 1
        size = photo.size[::-1]
        if isinstance(photo, TiffImageFile):  # its size may be turned already, which depends on Pillow's version
            size = photo.tag_v2[IMAGELENGTH], photo.tag_v2[IMAGEWIDTH]
        return Header(turned_size(size, orientation), orientation)
