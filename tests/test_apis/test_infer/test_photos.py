"""Photos in every form, and what is none."""

import io
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from needs import opencv
from PIL import Image

from mgfe_ris.apis import open_photo
from mgfe_ris.apis.infer import photos
from mgfe_ris.apis.infer.photos import decode_photo
from mgfe_ris.datasets import LoadPhoto

HEIGHT, WIDTH = 40, 56
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(kind: str = 'PNG', photo: Image.Image | None = None, **options) -> bytes:
    data = io.BytesIO()
    (photo or Image.fromarray(RGB)).save(data, kind, **options)
    return data.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A header and a few bytes of pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b'IHDR', header), chunk(b'IDAT', zlib.compress(bytes(99))), chunk(b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(parts)


# In memory


@pytest.mark.parametrize(
    'photo',
    [RGB, torch.from_numpy(RGB).permute(2, 0, 1), torch.from_numpy(RGB).permute(2, 0, 1) / 255, Image.fromarray(RGB)],
    ids=['array', 'uint8 tensor', 'float tensor', 'PIL'],
)
def test_rgb_stays_as_it_is(photo):
    opened = open_photo(photo)
    assert opened.dtype == np.uint8
    np.testing.assert_array_equal(opened, RGB)


def test_bgr_by_flag():
    np.testing.assert_array_equal(open_photo(np.ascontiguousarray(RGB[..., ::-1]), bgr=True), RGB)
    np.testing.assert_array_equal(open_photo(torch.from_numpy(RGB[..., ::-1].copy()).permute(2, 0, 1), bgr=True), RGB)
    np.testing.assert_array_equal(open_photo(RGB[..., ::-1]), RGB[..., ::-1])


def test_grey_arrays():
    np.testing.assert_array_equal(open_photo(RGB[..., 0]), np.stack([RGB[..., 0]] * 3, axis=2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_floats_are_rounded(dtype):
    levels = torch.from_numpy(RGB).permute(2, 0, 1).double()
    for shift in (-0.3, 0, 0.3):
        floats = ((levels + shift).clip(0, 255) / 255).to(dtype).requires_grad_()
        np.testing.assert_array_equal(open_photo(floats), RGB)


def of_mode(mode: str) -> Image.Image:
    if mode == 'I;16':
        return Image.fromarray(np.random.default_rng(1).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16))
    photo = Image.fromarray(RGB)
    if mode in ('LA', 'RGBA'):
        photo.putalpha(Image.fromarray(RGB[..., 1]))
    return photo.convert(mode)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'LA', 'RGBA', 'P', '1', 'I;16', 'CMYK'])
def test_pil_gives_what_its_file_gives(tmp_path, mode):
    """The file as the model's pipeline reads it, through OpenCV."""
    path = tmp_path / ('photo.tiff' if mode == 'CMYK' else 'photo.png')
    of_mode(mode).save(path)
    with Image.open(path) as image:
        assert image.mode == mode
        opened = open_photo(image)
    from_file = LoadPhoto()(dict(img_path=str(path)))['img'][..., ::-1]
    np.testing.assert_array_equal(opened, from_file)
    np.testing.assert_array_equal(decode_photo(path.read_bytes(), 'x'), from_file)
    assert np.ptp(opened) > 100


@pytest.mark.parametrize('turn', range(1, 9))
def test_photos_are_turned_as_their_exif_says(tmp_path, turn):
    exif = Image.Exif()
    exif[0x112] = turn
    path = tmp_path / 'turned.jpg'
    path.write_bytes(encoded('JPEG', exif=exif))
    with Image.open(path) as image:
        opened = open_photo(image)
    assert opened.shape[:2] == ((HEIGHT, WIDTH) if turn < 5 else (WIDTH, HEIGHT))
    np.testing.assert_array_equal(opened, LoadPhoto()(dict(img_path=str(path)))['img'][..., ::-1])


def test_one_lazy_image_in_several_threads():
    """Pillow reads a file when its pixels are first asked for; two threads at once get half of it each."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 600, 3), dtype=np.uint8)
    data = encoded('JPEG', Image.fromarray(noise))
    expected = np.asarray(Image.open(io.BytesIO(data)))
    for _ in range(10):
        image = Image.open(io.BytesIO(data))
        with ThreadPoolExecutor(2) as pool:
            for opened in pool.map(open_photo, [image] * 3):
                np.testing.assert_array_equal(opened, expected)


@pytest.mark.parametrize(
    ('photo', 'message'),
    [
        (RGB / 255, r'must be uint8, \(H, W, 3\) or \(H, W\); got float64, \(40, 56, 3\)'),
        (RGB > 9, 'got bool'),
        (RGB[..., :2], r'got uint8, \(40, 56, 2\)'),
        (RGB[None], r'got uint8, \(1, 40, 56, 3\)'),
        (RGB[:0], 'the photo has no pixels: 56 x 0'),
        (torch.zeros(3, 5, 0), 'the photo has no pixels: 0 x 5'),
        (torch.from_numpy(RGB), r'a photo as a tensor must be \(3, H, W\); got \(40, 56, 3\)'),
        (torch.zeros(3, 4, 5, dtype=torch.int64), 'got int64'),
        (torch.full((3, 4, 5), 255.0), r'a photo of floats must lie in \[0, 1\]; got 255 to 255'),
        (torch.full((3, 4, 5), -0.1), r'a photo of floats must lie in \[0, 1\]; got -0.1'),
        (torch.full((3, 4, 5), float('nan')), r'must lie in \[0, 1\]; got nan'),
        (Image.new('RGB', (0, 7)), 'the photo has no pixels: 0 x 7'),
        (Image.new('F', (5, 7)), 'mode F: which value is white'),
        (Image.new('I', (5, 7)), 'mode I: which value is white'),
        (Image.new('La', (5, 7)), 'the photo: not a readable image'),
        (None, 'a photo is a path, an address, a PIL image, an array or a tensor; got NoneType'),
        ([RGB], 'got list'),
        (b'photo.jpg', 'got bytes'),
    ],
)
def test_what_is_no_photo(photo, message):
    with pytest.raises(ValueError, match=message):
        open_photo(photo)


# Files


def test_a_file_stays_one(tmp_path):
    path = tmp_path / 'photo.png'
    path.write_bytes(encoded())
    assert open_photo(path) == open_photo(str(path)) == path


@pytest.mark.parametrize('name', ['gone.jpg', '', '.', 'file:///etc/hostname', 'ftp://localhost/photo.jpg'])
def test_a_missing_file_or_a_folder(name):
    with pytest.raises(FileNotFoundError, match='no such photo'):
        open_photo(name)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'', 'not a readable image'),
        (b'no image', 'not a readable image'),
        (b'\x89PNG\r\n\x1a\n', 'not a readable image'),
        (png_that_claims(0, 5), 'not a readable image|no pixels'),
        (png_that_claims(70_000, 1), 'has 70000 x 1 pixels, a side of more than 65,535; cut it first'),
        (png_that_claims(40_000, 25_000), r'too many pixels; make it smaller first .*1000000000'),
    ],
    ids=['empty', 'text', 'no header', '0 pixels', 'a line', '10^9 pixels'],
)
def test_what_is_wrong_shows_in_the_header(tmp_path, monkeypatch, data, message):
    for decode in ('cv2.imdecode', 'PIL.ImageFile.ImageFile.load'):
        monkeypatch.setattr(decode, lambda *_: pytest.fail('decoded'))
    path = tmp_path / 'photo.jpg'
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        open_photo(path)
    assert str(path) in str(error.value)


def test_the_limit_of_pixels(tmp_path):
    path = tmp_path / 'photo.png'
    path.write_bytes(encoded())
    assert open_photo(path, max_pixels=HEIGHT * WIDTH) == path
    for photo in (path, RGB, Image.fromarray(RGB), torch.zeros(3, HEIGHT, WIDTH)):
        with pytest.raises(
            ValueError, match=r'(photo|photo\.png) has 56 x 40 pixels, more than 2,239; make it smaller'
        ):
            open_photo(photo, max_pixels=HEIGHT * WIDTH - 1)


@pytest.mark.parametrize('action', ['ignore', 'error'])
def test_more_than_pillow_warns_of(tmp_path, action):
    path = tmp_path / 'photo.png'
    path.write_bytes(png_that_claims(10_000, 9_000))
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(ValueError, match=r'photo\.png.*make it smaller first'):
            open_photo(path)


@pytest.mark.parametrize(
    'kind', ['JPEG', 'PNG', 'WEBP', 'BMP', pytest.param('GIF', marks=opencv('4.12', 'reads no GIF')), 'TIFF']
)
@pytest.mark.parametrize('part', [0.5, 0.97])
def test_half_a_photo_is_none(kind, part):
    """Not one with a grey rest, which is what Pillow can be told to make of it, and older versions of OpenCV did."""
    data = encoded(kind)
    assert decode_photo(data, 'whole').shape == RGB.shape
    with pytest.raises(ValueError, match=r'half\.jpg: not a readable image'):
        decode_photo(data[: int(len(data) * part)], 'half.jpg')
    if kind in ('JPEG', 'PNG', 'BMP'):
        with pytest.raises(ValueError, match='the photo: not a readable image'):
            open_photo(Image.open(io.BytesIO(data[: int(len(data) * part)])))


def with_thumbnail() -> bytes:
    exif = b'Exif\0\0' + encoded('JPEG', Image.fromarray(RGB[:8, :8]))
    return encoded('JPEG', exif=exif)


@pytest.mark.parametrize(
    'data',
    [
        encoded('JPEG', progressive=True),
        encoded('JPEG', restart_marker_blocks=1),
        encoded('JPEG').replace(b'\xff\xda', b'\xff' * 9 + b'\xda', 1),
        with_thumbnail(),
    ],
    ids=['in scans', 'with restarts', 'with filling', 'with a thumbnail'],
)
def test_jpegs_are_whole_up_to_their_end(tmp_path, data):
    """And no further: phones put the film of a moving photo there."""
    behind = np.random.default_rng(0).bytes(200_000) + 100 * b'\xff\xda'
    (tmp_path / 'moving.jpg').write_bytes(data + behind)
    assert open_photo(tmp_path / 'moving.jpg') == tmp_path / 'moving.jpg'
    np.testing.assert_array_equal(decode_photo(data + behind, 'moving'), decode_photo(data, 'whole'))
    for cut in (data[:-2], data[: data.rindex(b'\xff\xda') + 20]):
        with pytest.raises(ValueError, match=r'cut: not a readable image .not a whole photo, its end is missing'):
            decode_photo(cut, 'cut')


@pytest.mark.parametrize('data', [b'', b'no image'])
def test_data_that_is_no_image(data):
    with pytest.raises(ValueError, match='a name: not a readable image'):
        decode_photo(data, 'a name')


# Addresses


class _Site(BaseHTTPRequestHandler):
    ended = threading.Event()

    def do_GET(self) -> None:
        moved = {'/moved': '/photo', '/loop': '/loop', '/to-a-file': 'file:///etc/hostname'}
        if self.path == '/protocol':
            self.wfile.write(b'no protocol\r\n\r\n')
        elif self.path in moved:
            self.send_response(302)
            self.send_header('Location', moved[self.path])
            self.end_headers()
        elif self.path == '/missing':
            self.send_error(404)
        else:
            self.send_response(200)
            self.end_headers()
            for part in self.parts():
                self.wfile.write(part)

    def parts(self):
        photo = encoded('JPEG')
        if self.path == '/slow':
            while not self.ended.wait(0.02):
                yield b'.'
        elif self.path == '/silent':
            self.ended.wait(100)
        elif self.path == '/endless':
            while True:
                yield bytes(1 << 16)
        files = {'/photo': photo, '/half': photo[: len(photo) // 2], '/bomb': png_that_claims(40_000, 25_000)}
        yield files.get(self.path, b'<html>')

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(_Site, 'ended', threading.Event())
    # who reads no further than the limit closes the line, which the site's threads need not tell
    monkeypatch.setattr(ThreadingHTTPServer, 'handle_error', lambda *_: None)
    with ThreadingHTTPServer(('127.0.0.1', 0), _Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs=dict(poll_interval=0.01))
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        _Site.ended.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize('path', ['/photo', '/moved'])
def test_a_photo_at_an_address(site, path):
    np.testing.assert_array_equal(open_photo(site + path, private_addresses=True), decode_photo(encoded('JPEG'), 'x'))


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('/missing', r'cannot be read \(404 Not Found\)'),
        ('/loop', r'cannot be read \(more than 5 redirects'),
        ('/to-a-file', r'cannot be read \(.*no http address'),
        ('/protocol', r'cannot be read \(no answer in HTTP'),
        ('/text', 'not a readable image'),
        ('/half', 'not a readable image'),
        ('/bomb', 'too many pixels'),
        ('/endless', r'cannot be read \(more than 300,000 bytes\)'),
    ],
)
def test_addresses_that_give_no_photo(site, monkeypatch, path, message):
    monkeypatch.setattr(photos, '_MAX_BYTES', 300_000)
    with pytest.raises(ValueError, match=message) as error:
        open_photo(site + path, private_addresses=True)
    assert str(error.value).startswith(site + path)


def test_an_address_that_sends_on_and_on(site, monkeypatch):
    monkeypatch.setattr(photos, '_SECONDS', 0.2)
    with pytest.raises(ValueError, match=r'/slow: cannot be read \(no end after 0\.2 seconds\)'):
        open_photo(site + '/slow', private_addresses=True)


def test_private_addresses_are_read_where_that_is_asked_for(site):
    with pytest.raises(ValueError, match=r'/photo: cannot be read \(127\.0\.0\.1 is not a public address'):
        open_photo(site + '/photo')


def test_an_address_that_falls_silent(site, monkeypatch):
    monkeypatch.setattr(photos, '_SILENCE', 0.1)
    with pytest.raises(ValueError, match=r'/silent: cannot be read \(nothing came for 0\.1 seconds\)'):
        open_photo(site + '/silent', private_addresses=True)


@pytest.mark.parametrize('address', ['http://127.0.0.1:1/photo.jpg', 'http://', 'https://[', 'http://127.0.0.1:99999/'])
def test_addresses_where_nobody_answers(monkeypatch, address):
    monkeypatch.setenv('no_proxy', '*')
    with pytest.raises(ValueError, match='cannot be read') as error:
        open_photo(address, private_addresses=True)
    assert str(error.value).startswith(address)


def test_a_photo_is_read_where_the_path_is_relative(tmp_path, monkeypatch):
    (tmp_path / 'photo.png').write_bytes(encoded())
    monkeypatch.chdir(tmp_path)
    assert open_photo('photo.png') == Path('photo.png')
