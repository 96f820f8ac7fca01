"""What the programs share that serve a model to strangers: limits, the photo that was sent, and the address."""

import errno
import socket

from PIL import Image

from ...datasets.photo_files import FewReadsBytes, check_jpeg
from .inferencer import check_sentences

MAX_BYTES, MAX_PIXELS = 20_000_000, 25_000_000
"""Of a photo; the pixels are read from its header before anything is decoded."""
MAX_SENTENCES, MAX_LETTERS = 6, 200
"""About a photo, and in each of them."""
MAX_SCORES = 50_000_000
"""Pixels times sentences of a request; each takes 5 bytes: its score, and whether it is in the mask."""
MAX_WAITING = 16
"""Requests."""
FORMATS = ('BMP', 'GIF', 'JPEG', 'PNG', 'WEBP')
"""What browsers show; Pillow opens others with other people's programs."""


class TooLarge(ValueError):
    """A photo of too many bytes, or too many pixels."""


class UnknownFormat(ValueError):
    """Data that does not begin like a photo of :data:`FORMATS`."""


def check_asked(sentences: list[str]) -> list[str]:
    """The sentences about a photo, without blanks around them.

    Raises:
        ValueError: none, too many, too long or an empty one, or no text.
    """
    if not sentences:
        raise ValueError('Say which object is meant, e.g. "the red circle on the left".')
    if len(sentences) > MAX_SENTENCES:
        raise ValueError(f'{len(sentences)} sentences: at most {MAX_SENTENCES} at a time.')
    for text in sentences:
        if isinstance(text, str) and len(text.strip()) > MAX_LETTERS:
            raise ValueError(f'A sentence of {len(text.strip())} letters: at most {MAX_LETTERS}.')
    return [text.strip() for text in check_sentences(sentences)]


def open_upload(data: bytes, sentences: int) -> Image.Image:
    """A photo that was sent, its header checked, its pixels yet to be decoded.

    Small files can mean long work, here or when it is decoded: what is made of very many small pieces is refused.

    Args:
        data: the file.
        sentences: about it.

    Raises:
        TooLarge: too many bytes or pixels, or so many that only fewer sentences may be about it.
        UnknownFormat: none of :data:`FORMATS`.
        ValueError: a broken header, no pixels, or a JPEG that :func:`check_jpeg` refuses.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f'A photo of {len(data):,} bytes: at most {MAX_BYTES:,}.')
    broken = f'This is not a whole photo in one of the formats {", ".join(FORMATS)}.'
    file = FewReadsBytes(data)
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise TooLarge(f'The photo has more than {MAX_PIXELS:,} pixels; make it smaller first.') from error
    except Image.UnidentifiedImageError as error:
        raise UnknownFormat(broken) from error
    except Exception as error:  # Pillow's words for what is broken are of many kinds, and tell a user nothing
        raise ValueError(broken) from error
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise TooLarge(
            f'The photo has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; make it smaller first.'
        )
    if pixels * sentences > MAX_SCORES:
        raise TooLarge(
            f'{sentences} sentences about a photo of {pixels / 1e6:.0f} megapixels: '
            f'at most {MAX_SCORES // pixels} at a time, or make it smaller.'
        )
    check_jpeg(data, pixels)
    file.may_be_decoded()
    return image


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; closed at once, it was a check ahead of loading a model.

    Raises:
        ValueError, OSError: not a port, a taken one, or no address of this machine.
    """
    if not 0 < port < 65536:
        raise ValueError(f'--port must lie between 1 and 65535; got {port}')
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        wrong = '--port' if getattr(error, 'errno', 0) in (errno.EADDRINUSE, errno.EACCES) else '--host'
        raise OSError(f'cannot listen at {host}, port {port} ({error}); give another {wrong}') from error
