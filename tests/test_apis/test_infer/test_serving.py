"""Files from strangers: small ones that mean long work are refused, photos of cameras and programs are not."""

import io
import re
import socket
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from needs import pillow
from PIL import Image, PngImagePlugin

from mgfe_ris.apis import open_photo
from mgfe_ris.apis.infer.serving import MAX_BYTES, TooLarge, UnknownFormat, check_asked, listen, open_upload

GIF = b'GIF89a' + struct.pack('<HHBBB', 64, 64, 0, 0, 0)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(*chunks: bytes, width: int = 64, height: int = 64) -> bytes:
    size = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + b''.join((chunk(b'IHDR', size), *chunks))


def bmp(width: int, height: int, runs: bytes) -> bytes:
    """Of 8-bit run lengths."""
    head = struct.pack('<IiiHHIIiiII', 40, width, height, 8, 1, 1, len(runs), 0, 0, 256, 0)
    return b'BM' + struct.pack('<IHHI', 1078 + len(runs), 0, 0, 1078) + head + bytes(1024) + runs


def scans(number: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    buffer = io.BytesIO()
    Image.new('RGB', (4000, 4000)).save(buffer, 'JPEG', progressive=True)
    data = buffer.getvalue()
    last = data[data.rindex(b'\xff\xda') : -2]
    return data[:-2] + number * last + data[-2:]


N = 5_000_000  # bytes; a request may have four times as many
TEXT = zlib.compress(bytes(900_000))
CRAFTED = {
    'a comment of a GIF': lambda: GIF + b'\x21\xfe' + (b'\xff' + b'a' * 255) * (N // 256),
    'a comment in single letters': lambda: GIF + b'\x21\xfe' + b'\x01a' * (N // 2),
    'comments of a GIF': lambda: GIF + b'\x21\xfe\x01a\0' * (N // 5),
    'extensions of a GIF': lambda: GIF + b'\x21\xff\x01a\0' * (N // 5),
    'segments of a JPEG': lambda: b'\xff\xd8' + b'\xff\xe2\0\x02' * (N // 4),
    'tables of a JPEG': lambda: b'\xff\xd8' + b'\xff\xdb\0\x02' * (N // 4),
    'filling of a JPEG': lambda: b'\xff\xd8' + b'\xff' * N,
    'profiles of a JPEG': lambda: b'\xff\xd8' + b'\xff\xe2\0\x10ICC_PROFILE\0\1\1' * (N // 18),
    'scans of a JPEG': lambda: scans(10_000),
    'hidden scans of a JPEG': lambda: scans(6_000).replace(b'\x3f\0', b'\x3f\0\xff\x02\xfe\0'),
    'chunks of a PNG': lambda: png(chunk(b'abCd', b'') * (N // 12)),
    'texts of a PNG': lambda: png(chunk(b'tEXt', b'k\0a') * (N // 15)),
    'packed texts of a PNG': lambda: png(chunk(b'zTXt', b'k\0\0' + TEXT) * (N // len(TEXT))),
    'pixels of a PNG': lambda: png(chunk(b'IDAT', b'a'), width=40_000, height=25_000),
    'a long PNG': lambda: png(chunk(b'IDAT', b'a'), width=2_000_000_000, height=1),
    'runs of a BMP': lambda: bmp(4000, 4000, b'\x01\x05' * (N // 2)),
    'jumps of a BMP': lambda: bmp(4000, 4000, b'\0\2\0\0' * (N // 4)),
    'pixels of a BMP': lambda: bmp(2_000_000_000, 1, b'\x01\x05'),
    'no photo': lambda: bytes(N),
    'nothing': lambda: b'',
    'a script': lambda: b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n',
}  # fmt: skip


def peak_megabytes() -> float:
    """Of this process since the last time, where the system tells."""
    status = Path('/proc/self/status')
    if not status.exists():
        return 0
    peak = int(re.search(r'VmHWM:\s+(\d+)', status.read_text())[1]) / 1024
    Path('/proc/self/clear_refs').write_text('5')
    return peak


MARKS = {'jumps of a BMP': pillow('12.2', 'reads them, as a picture and in a moment')}


@pytest.mark.parametrize('build', [pytest.param(f, id=name, marks=MARKS.get(name, ())) for name, f in CRAFTED.items()])
def test_crafted_files_cost_little(build: Callable[[], bytes]):
    """Seconds are of the processor, and many: the worst, unbounded, took minutes."""
    data = build()
    peak_megabytes()
    before, begin = peak_megabytes(), time.process_time()
    with pytest.raises(ValueError, match=r'not a whole photo|make it smaller|scans, more than|too many pieces'):
        open_photo(open_upload(data, 1))
    assert time.process_time() - begin < 5
    assert peak_megabytes() - before < 200


def test_photos_of_cameras_and_programs_pass():
    """With profiles, texts, thumbnails, and many colours."""
    noise = Image.effect_noise((1500, 1000), 80)
    text = PngImagePlugin.PngInfo()
    for i in range(200):
        text.add_text(f'key{i}', 'text' * 50)
    exif = Image.Exif()
    exif[0x010E] = 'a' * 60_000
    forms: list[tuple[str, dict]] = [
        ('JPEG', dict(icc_profile=bytes(600_000), exif=exif, comment=b'a' * 60_000)),
        ('JPEG', dict(progressive=True, quality=98)),
        ('PNG', dict(pnginfo=text, icc_profile=bytes(600_000))),
        ('GIF', dict(comment=b'a' * 50_000)),
        ('WEBP', dict(lossless=True, exif=exif)),
        ('BMP', dict()),
    ]
    for form, options in forms:
        buffer = io.BytesIO()
        noise.convert('P' if form == 'GIF' else 'RGB').save(buffer, form, **options)
        photo = open_photo(open_upload(buffer.getvalue(), 6))
        assert photo.shape == (1000, 1500, 3), form


def test_limits():
    with pytest.raises(TooLarge, match='at most 20,000,000'):
        open_upload(bytes(MAX_BYTES + 1), 1)
    with pytest.raises(UnknownFormat):
        open_upload(b'text', 1)
    assert open_upload(png(chunk(b'IDAT', b'a'), width=5000, height=5000), 2).size == (5000, 5000)
    with pytest.raises(TooLarge, match='at most 2 at a time'):
        open_upload(png(chunk(b'IDAT', b'a'), width=5000, height=5000), 3)


def test_check_asked():
    assert check_asked([' the ring ', 'a' * 200]) == ['the ring', 'a' * 200]
    wrong = [([], 'which object'), (['a'] * 7, '7 sentences'), (['a' * 3000], '3000 letters'), ([' '], 'empty')]
    for sentences, message in (*wrong, ([5], 'got int'), (['a' * 201, 5], '201 letters'), (['\ud800'], 'that is none')):
        with pytest.raises(ValueError, match=message):
            check_asked(sentences)


def test_listen():
    with socket.create_server(('127.0.0.1', 0)) as other, pytest.raises(OSError, match='give another --port'):
        listen('127.0.0.1', other.getsockname()[1])
    for port in (0, -1, 65536):
        with pytest.raises(ValueError, match='--port must lie'):
            listen('127.0.0.1', port)
    with pytest.raises(OSError, match='give another --host'):
        listen('1.2.3.4', 8000)
