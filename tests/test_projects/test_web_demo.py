"""The page in a real browser, and what it must not do, over plain HTTP."""

import http.client
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from slow import slow

from mgfe_ris.apis import RISInferencer, RISResult, load_model, save_folder
from mgfe_ris.apis.infer import serving
from mgfe_ris.visualization import PALETTE, overlay, read_photo

pytest.importorskip('gradio', reason='the page needs gradio: pip install -r projects/web_demo/requirements.txt')

REPO = Path(__file__).parents[2]
APP = REPO / 'projects/web_demo/app.py'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
SENTENCES = ['the red circle', 'the ring on the left']
# Starts the page like its command, and notes whom the process talks to
WATCHED = """
import runpy, sys
log = open(sys.argv[1], 'w', buffering=1)
def note(event, args):
    if event == 'socket.connect':
        print(args[1][0] if isinstance(args[1], tuple) else 'unix', file=log)
    if event == 'socket.getaddrinfo':
        print(args[0], file=log)
sys.addaudithook(note)
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
# gradio would read them: a folder for everybody, an editor of code, a server for programs
WIDENING = {'GRADIO_ALLOWED_PATHS': '/etc', 'GRADIO_VIBE_MODE': '1', 'GRADIO_MCP_SERVER': 'true'}


pytestmark = pytest.mark.usefixtures('one_thread')  # as the server: the same bits


@pytest.fixture(scope='module')
def app() -> ModuleType:
    spec = importlib.util.spec_from_file_location('web_demo_app', APP)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def model(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder; a trained one makes better screenshots."""
    if trained := os.environ.get('WEB_DEMO_MODEL'):
        return Path(trained).resolve()
    model = load_model(model_folder, device='cpu')
    for value in model.decode_head.classify.parameters():
        value.data *= 100  # scores far from 0.5: the slider has something to do
    return save_folder(model, tmp_path_factory.mktemp('model') / 'sure')


@pytest.fixture(scope='module')
def photo(refshapes: Path) -> Path:
    return sorted((refshapes / 'images/refshapes').iterdir())[0]


class Server:
    """The page's process, and how to talk to it without a browser."""

    def __init__(self, folder: Path, model: Path):
        self.folder, self.model = folder, model
        self.temporary, self.here, self.log = folder / 'tmp', folder / 'here', folder / 'log'
        self.temporary.mkdir()
        self.here.mkdir()
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.port = free.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}/'
        command = [sys.executable, '-W', 'ignore', '-c', WATCHED, folder / 'talks', APP]
        with self.log.open('w') as log:
            self.process = subprocess.Popen(
                [*command, '--model', model, '--port', str(self.port), '--device', 'cpu'],
                cwd=self.here, stdout=log, stderr=log,
                env={
                    **os.environ, **WIDENING,
                    'TMPDIR': str(self.temporary), 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(REPO),
                },
            )  # fmt: skip

    def wait(self) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end and self.process.poll() is None:
            try:
                return urlopen(self.url).close()
            except OSError:
                time.sleep(0.2)
        pytest.fail(f'the page did not start:\n{self.log.read_text()}')

    def get(self, path: str, headers: dict | None = None) -> tuple[int, bytes]:
        """As written: urllib and browsers would resolve the dots."""
        return self.send('GET', path, None, headers)

    def send(self, method: str, path: str, body: Any = None, headers: dict | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        status, content = answer.status, answer.read()
        connection.close()
        return status, content

    def upload(self, name: str, data: bytes) -> tuple[int, bytes]:
        head = f'--X\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        kind = {'Content-Type': 'multipart/form-data; boundary=X'}
        return self.send('POST', '/gradio_api/upload', head + data + b'\r\n--X--\r\n', kind)

    def request(self, element: str, event: str, data: list, session: str) -> dict:
        """What an element of the page asks, with any data -> the last message of gradio's queue."""
        config = json.loads(self.get('/config')[1])
        source = next(c['id'] for c in config['components'] if c['props'].get('elem_id') == element)
        index = next(d['id'] for d in config['dependencies'] if [source, event] in d['targets'])
        body = json.dumps({'data': data, 'fn_index': index, 'session_hash': session})
        status, answer = self.send('POST', '/gradio_api/queue/join', body, {'Content-Type': 'application/json'})
        assert status == 200, answer
        messages = self.get(f'/gradio_api/queue/data?session_hash={session}')[1].decode().splitlines()
        found = [json.loads(line[6:]) for line in messages if line.startswith('data: ')]
        return next(message for message in found if message['msg'] == 'process_completed')

    def ask(self, path: str, text: Any, threshold: Any = 0.5, session: str | None = None) -> dict:
        """What pressing the button asks."""
        upload = {'path': path, 'meta': {'_type': 'gradio.FileData'}, 'orig_name': 'photo.png'}
        return self.request('segment', 'click', [upload, text, threshold, None], session or os.urandom(8).hex())

    def message(self, path: str, text: Any = 'the ring', threshold: Any = 0.5) -> str:
        """What the page says below the button."""
        answer = self.ask(path, text, threshold)
        assert answer['success'], answer
        return answer['output']['data'][0]


@pytest.fixture(scope='module')
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp('server'), model)
    try:
        server.wait()
        yield server
        server.process.terminate()
        server.process.wait(20)
        assert not list(server.temporary.iterdir()), 'photos outlive the page'
        assert not list(server.here.iterdir()), 'the page writes where it was started'
        talks = set((server.folder / 'talks').read_text().split())
        assert talks <= {'127.0.0.1', 'localhost', 'unix'}, 'the process calls home'
    finally:
        server.process.kill()


@pytest.fixture(scope='module')
def inferencer(server: Server) -> RISInferencer:
    return RISInferencer(server.model, device='cpu')


@pytest.fixture(scope='module')
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip('playwright.sync_api', reason='driving a browser needs playwright')
    if CHROMIUM is None:
        pytest.skip("no Chromium, e.g. Debian's package of that name")
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any, server: Server) -> Iterator[Any]:
    """Opens the page at a width, and sees that it neither asks anybody else, nor runs what it is told."""
    requests: list[str] = []
    dialogs: list[str] = []

    def watch(page: Any) -> None:
        page.on('request', lambda request: requests.append(request.url))
        page.on('dialog', lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))

    def open_(width: int = 1280, height: int = 900, dark: bool = False) -> Any:
        context = chromium.new_context(
            viewport={'width': width, 'height': height}, color_scheme='dark' if dark else 'light'
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        watch(page)
        page.goto(server.url)
        page.wait_for_selector('#segment')
        return page

    yield open_
    for context in chromium.contexts:
        context.close()
    assert not dialogs
    assert requests
    assert [url for url in requests if not url.startswith((server.url, 'data:', 'blob:'))] == []


def drop(page: Any, photo: Path) -> None:
    page.locator('#photo input[type=file]').set_input_files(photo)
    page.wait_for_selector('#photo img')


def press(page: Any, *sentences: str) -> None:
    page.locator('#text textarea').fill('\n'.join(sentences))
    page.locator('#segment').click()


def numbers(page: Any) -> list[list[str]]:
    """The rows of the legend: sentence, area, score; a number and a colour stand ahead of them."""
    rows = [row.locator('td').all_inner_texts() for row in page.locator('#legend tbody tr').all()]
    assert [row[:2] for row in rows] == [[str(i), ''] for i in range(1, len(rows) + 1)]
    return [row[2:] for row in rows]


def shown(page: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(fetched(page, '#masks img', 'src'))).convert('RGB'))


def fetched(page: Any, selector: str, attribute: str) -> bytes:
    with urlopen(page.locator(selector).get_attribute(attribute)) as answer:
        return answer.read()


def downloads(page: Any) -> list[np.ndarray]:
    masks = []
    for link in page.locator('#files a').all():
        with page.expect_download() as download:
            link.click()
        with Image.open(download.value.path()) as image:
            masks.append(np.asarray(image))
    return masks


def check(page: Any, photo: Path, expected: list) -> None:
    """All that the page shows and hands out is what an inferencer finds."""
    picture = np.asarray(Image.open(photo).convert('RGB').resize((640, 640)))
    free = np.ones((640, 640), bool)
    drawn = picture
    for result, colour in zip(expected, PALETTE, strict=False):
        drawn = overlay(drawn, result.mask, colour)
        free &= ~result.mask.repeat(10, 0).repeat(10, 1)  # 64 x 64 pixels, ten times as large
    found = shown(page)
    assert np.array_equal(found, drawn)
    assert 0 < free.mean() < 1
    assert np.array_equal(found[free], picture[free]) and (found[~free] != picture[~free]).any(1).all()
    for result, mask in zip(expected, downloads(page), strict=True):
        assert mask.dtype == np.uint8 and np.array_equal(mask, 255 * result.mask.astype(np.uint8))
    rows = [[r.sentence, f'{100 * r.mask.mean():.1f}\xa0%', f'{r.score[r.mask].mean():.2f}'] for r in expected]
    assert numbers(page) == rows


def eventually(page: Any, holds: Callable[[], object]) -> None:
    """Parts of a page follow one another, on a busy machine slowly."""
    end = time.monotonic() + 30
    while True:
        try:
            holds()
            return
        except (AssertionError, ValueError):
            if time.monotonic() > end:
                raise
            page.wait_for_timeout(100)


def test_photo_and_sentences_to_masks(open_page, server, inferencer, photo):
    page = open_page()
    assert not page.locator('#masks').is_visible()
    drop(page, photo)
    press(page, *SENTENCES)
    page.wait_for_selector('#masks img')
    check(page, photo, inferencer(read_photo(photo), SENTENCES))
    note = page.locator('#legend p').inner_text()
    assert re.fullmatch(r'\d+\.\d\d s for 2 sentences, 64 x 64 pixels', note)
    colours = page.locator('#legend i').evaluate_all('all => all.map(e => getComputedStyle(e).backgroundColor)')
    assert colours == [f'rgb{colour}' for colour in PALETTE[:2]]

    # the slider uses the same scores: the time taken stays
    before = fetched(page, '#masks img', 'src')
    page.locator('#threshold input[type=range]').focus()
    for _ in range(3):
        page.keyboard.press('ArrowRight')
    expected = inferencer(read_photo(photo), SENTENCES, threshold=0.65)
    area = f'{100 * expected[0].mask.mean():.1f}\xa0%'
    page.wait_for_function('area => document.querySelector("#legend tbody").innerText.includes(area)', arg=area)
    eventually(page, lambda: check(page, photo, expected))
    assert fetched(page, '#masks img', 'src') != before
    assert page.locator('#legend p').inner_text() == note


def test_a_sentence_that_the_model_does_not_know_is_marked(app):
    mask = np.ones((4, 4), bool)
    known, unknown = (RISResult(mask, text, mask * 1.0, mask, text == 'ring') for text in ('ring', '左の丸'))
    rows = app.legend([known, unknown], [mask, mask], '').split('<tr>')[2:]
    assert ['knows no word' in row for row in rows] == [False, True]


def test_words_that_the_training_never_said_are_named(app):
    mask = np.ones((4, 4), bool)
    unmet: list[tuple[str, ...] | None] = [None, (), ('zoo', 'x<b>'), ('丸',)]
    results = [RISResult(mask, 'ring', mask * 1.0, mask, words != ('丸',), unmet=words) for words in unmet]
    rows = app.legend(results, [mask] * len(unmet), '').split('<tr>')[2:]
    assert ['never said' in row for row in rows] == [False, False, True, False]
    assert 'never said: zoo, x&lt;b&gt;.' in rows[2] and 'knows no word' in rows[3]


@pytest.mark.parametrize('threshold', [0.5, 0.1])
def test_a_sentence_that_means_nothing_has_no_mask_at_any_threshold(app, tmp_path, threshold):
    score = np.full((4, 4), 0.7, np.float32)
    results = [RISResult(score, 'ring', score, score > said, no_target=said) for said in (0.2, 0.9)]
    demo = app.Demo(SimpleNamespace(threshold=0.5), tmp_path)
    _, rows, _ = demo.show((np.zeros((4, 4, 3), np.uint8), results, '', []), threshold)
    some, none = rows.split('<tr>')[2:]
    assert '100.0' in some and '0.0' in none and '100.0' not in none
    assert ['finds nothing' in row for row in (some, none)] == [False, True]


def test_outlines_have_no_scores_and_no_slider(app, tmp_path):
    """Of a model that draws polygons; whatever is sent in the slider's place is without effect."""
    mask = np.tri(4, dtype=bool)
    results = [
        RISResult(np.zeros((4, 4, 3), np.uint8), text, None, shown) for text, shown in (('a', mask), ('b', ~mask))
    ]
    demo = app.Demo(SimpleNamespace(threshold=None), tmp_path)
    for sent in (None, 0.1, 'x'):
        picture, rows, files = demo.show((np.zeros((4, 4, 3), np.uint8), results, '', []), sent)
        for file, result in zip(files, results, strict=True):
            np.testing.assert_array_equal(np.asarray(Image.open(file)) > 0, result.mask)
        assert app.OUTLINES in rows and rows.count('<td>-</td>') == 2 and picture.any()
    shown = {block.elem_id: block for block in app.build_page(demo, []).blocks.values()}
    assert shown['threshold'].visible is False


def test_example(open_page, app, inferencer, tmp_path):
    path, text = app.draw_examples(tmp_path)[1]
    page = open_page()
    page.locator('#examples tbody tr').nth(1).click()
    page.wait_for_selector('#legend td')
    assert page.locator('#text textarea').input_value() == text
    expected = inferencer(read_photo(path), text.split('\n'))
    assert [row[:2] for row in numbers(page)] == [[r.sentence, f'{100 * r.mask.mean():.1f}\xa0%'] for r in expected]


def test_a_sentence_is_text(open_page, photo):
    page = open_page()
    drop(page, photo)
    hostile = ['<img src=x onerror=alert(1)>', '${alert(2)} {{value}} a|b', '"><script>alert(3)</script>', '&lt;b&gt;']
    press(page, *hostile)
    page.wait_for_selector('#legend td')
    page.wait_for_timeout(500)  # what may run, runs
    assert [row[0] for row in numbers(page)] == hostile
    assert page.locator('#legend img, #legend script, #legend b').count() == 0


def test_bad_input_is_said_in_the_page(open_page, photo, tmp_path):
    page = open_page()

    def said(*sentences: str) -> str:
        page.locator('#message').evaluate('e => e.querySelectorAll("p").forEach(p => p.remove())')
        press(page, *sentences)
        return page.wait_for_selector('#message p').inner_text()

    assert said('the ring') == 'Drop a photo first.'
    assert 'Say which object is meant' in said('', ' ')
    assert said(*'abcdefg') == '7 sentences: at most 6 at a time.'
    assert said('x' * 201) == 'A sentence of 201 letters: at most 200.'
    text = tmp_path / 'photo.png'
    text.write_text('no photo')
    page.locator('#photo input[type=file]').set_input_files(text)
    page.wait_for_selector('#photo img', state='attached')
    assert 'not a whole photo' in said('the ring')
    page.locator('#photo [aria-label="Remove Image"]').click()
    drop(page, photo)
    press(page, 'the ring')
    page.wait_for_selector('#legend td')
    assert page.locator('#message p').count() == 0


@pytest.mark.parametrize('width', [1280, pytest.param(390, marks=slow('10 s'))])
def test_screenshot(open_page, server, photo, width, tmp_path):
    """WEB_DEMO_SCREENSHOTS=projects/web_demo WEB_DEMO_MODEL=work_dirs/quickstart renews those of the README."""
    folder = Path(os.environ.get('WEB_DEMO_SCREENSHOTS', tmp_path))
    for dark in (True, False):
        page = open_page(width, dark=dark)
        page.locator('#examples tbody tr').nth(1).click()
        page.wait_for_selector('#legend td')
        page.wait_for_function('document.querySelector("#masks img")?.complete')
        page.wait_for_timeout(500)  # fades
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        masks = page.locator('#masks img').bounding_box()
        assert masks['width'] >= 300 and masks['x'] + masks['width'] <= width
        assert masks['y'] < 900  # one need not look for it
        light = sum(page.evaluate('getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)')[:3])
        assert light < 200 if dark else light > 600
        page.evaluate('scrollTo(0, 0)')
        name = 'dark_' * dark + ('screenshot.png' if width == 1280 else f'screenshot_{width}.png')
        pixels = np.asarray(Image.open(io.BytesIO(page.screenshot(full_page=True))).convert('RGB'))
        coarse = (np.rint(pixels / 10) * 10).clip(0, 255).astype(np.uint8)  # half the bytes; nobody sees it
        if folder == tmp_path or not dark:
            Image.fromarray(coarse).save(folder / name, optimize=True)


def png(width: int, height: int, pixels: bytes = b'') -> bytes:
    """A PNG of any claim."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    size = width.to_bytes(4) + height.to_bytes(4)
    data = [chunk(b'IHDR', size + bytes([8, 2, 0, 0, 0])), chunk(b'IDAT', zlib.compress(pixels)), chunk(b'IEND', b'')]
    return b'\x89PNG\r\n\x1a\n' + b''.join(data)


def peak_megabytes(server: Server) -> float:
    status = Path(f'/proc/{server.process.pid}/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+)', status)[1]) / 1024


BOMBS = ((40_000, 25_000), (12_000, 8_000), (5_001, 5_000))


def bomb(width: int, height: int) -> bytes:
    return png(width, height, bytes(3 * width * 10))


@pytest.mark.parametrize('size', BOMBS, ids=str)
def test_decompression_bombs_are_refused_undecoded(app, tmp_path, monkeypatch, size):
    def decode(image):
        raise AssertionError(f'{image.size} was decoded')

    monkeypatch.setattr('PIL.ImageFile.ImageFile.load', decode)
    for name, data in (('bomb.png', bomb(*size)), ('photo.png', bomb(50, 40))):
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match='more than 25,000,000'):
        app.read_upload({'path': str(tmp_path / 'bomb.png')}, tmp_path, 1)
    with pytest.raises(AssertionError, match='was decoded'):
        app.read_upload({'path': str(tmp_path / 'photo.png')}, tmp_path, 1)


@pytest.mark.skipif(not Path('/proc/self/status').exists(), reason='memory is read from /proc')
def test_the_server_refuses_them_and_stays_small(server):
    before = peak_megabytes(server)
    for size in BOMBS:
        path = json.loads(server.upload('photo.png', bomb(*size))[1])[0]
        assert '25,000,000' in server.message(path), size
    assert peak_megabytes(server) < before + 250  # decoded, the largest takes 3,000


def test_too_many_sentences_for_a_large_photo(server):
    buffer = io.BytesIO()
    Image.new('RGB', (4000, 3000)).save(buffer, 'JPEG')
    path = json.loads(server.upload('photo.jpg', buffer.getvalue())[1])[0]
    assert 'at most 4 at a time' in server.message(path, 'a\nb\nc\nd\ne')


@pytest.mark.parametrize('cut', [20, 200])
def test_broken_photos(server, photo, cut):
    path = json.loads(server.upload('photo.jpg', photo.read_bytes()[:cut])[1])[0]
    message = server.message(path)
    assert 'not a whole photo' in message and str(server.temporary) not in message


def test_size_of_uploads(server):
    assert server.upload('photo.png', bytes(20_000_000))[0] == 200
    assert server.upload('photo.png', bytes(20_000_001))[0] == 413
    kind = {'Content-Type': 'application/json'}
    assert server.send('POST', '/gradio_api/queue/join', bytes(22_000_000), kind)[0] == 413
    chunks = iter([b'{}'])  # of unknown length
    assert server.send('POST', '/gradio_api/queue/join', chunks, {**kind, 'Transfer-Encoding': 'chunked'})[0] == 413


def test_no_file_but_its_own(server, photo):
    own = json.loads(server.upload('photo.jpg', photo.read_bytes())[1])[0]
    assert server.get(f'/gradio_api/file={own}') == (200, photo.read_bytes())
    (server.temporary / 'else.txt').write_text('SECRET')
    outside = [
        '/etc/passwd', '/proc/self/environ', REPO / 'README.md', APP, server.model / 'config.json',
        server.temporary / 'else.txt', server.log, photo,
    ]  # fmt: skip
    dots = '../' * 12
    folder = Path(own).parents[1]
    paths = [*map(str, outside), *(f'{folder}/../..{p}' for p in outside), *(f'{folder}/{dots}{p}' for p in outside)]
    paths += [
        f'{dots}etc/passwd',
        'app.py',
        './app.py',
        'file:///etc/passwd',
        '//etc/passwd',
        f'{folder}/%00/etc/passwd',
    ]
    paths += [str(folder), f'{folder}/', f'{folder}/{"0" * 64}/photo.jpg', f'{Path(own).parent}']
    forms = ('/gradio_api/file={}', '/gradio_api/file/{}', '/file={}', '/static/{}', '/assets/{}', '/{}', '/proxy={}')
    for path in paths:
        for form in forms:
            encoded = path.replace('%', '%25').replace('.', '%2e').replace('/', '%2f')
            for variant in (path, encoded, encoded.replace('%', '%25')):
                for headers in ({}, {'Range': 'bytes=0-9'}):
                    status, content = server.get(form.format(variant), headers)
                    assert status >= 300, (form, variant, content[:80])
                    assert not any(word in content for word in (b'root:', b'SECRET', b'PATH=', b'import', b'\xff\xd8'))
    (server.temporary / 'else.txt').unlink()


def test_settings_of_gradio_widen_nothing(server):
    """Beside the folder, of which test_no_file_but_its_own knows."""
    assert json.loads(server.get('/config')[1])['vibe_mode'] is False
    assert server.get('/gradio_api/mcp/schema')[0] == 404


def test_no_photo_but_uploaded_ones(server, photo, tmp_path):
    """Neither a file of the machine, nor one that another program put beside ours."""
    shutil.copy(photo, server.temporary / 'else.jpg')
    for path in (photo, server.temporary / 'else.jpg', server.model / 'config.json', '/etc/passwd'):
        answer = server.ask(str(path), 'the ring')
        assert not answer['success'] and 'was not uploaded by a user' in json.dumps(answer), answer
    (server.temporary / 'else.jpg').unlink()


def test_masks_do_not_pile_up(server, photo):
    """Each move of the slider writes them."""
    path = json.loads(server.upload('photo.jpg', photo.read_bytes())[1])[0]
    session = os.urandom(8).hex()
    before = set(server.temporary.rglob('mask_*.png'))
    for _ in range(2):
        assert server.ask(path, '\n'.join(SENTENCES), session=session)['success']
        for i in range(1, 6):
            answer = server.request('threshold', 'input', [None, 0.5 + i / 20], session)
            assert answer['success'], answer
    left = set(server.temporary.rglob('mask_*.png')) - before
    files = [Path(file['path']) for file in answer['output']['data'][2]]
    assert [file.name for file in files] == ['mask_1.png', 'mask_2.png'] and left.issuperset(files)
    assert len(left) == 4  # of two moves: the page may be fetching the one while it asks for the other
    assert len({file.parent for file in left}) == 2
    for file in files:
        assert server.get(f'/gradio_api/file={file}') == (200, file.read_bytes())


@pytest.mark.parametrize('upload', [None, {}, {'path': None}, {'path': 'photo\0.jpg'}, {'path': '\ud800'}, 5, 'x', []])
def test_crafted_uploads(app, tmp_path, upload):
    with pytest.raises(ValueError, match=r'Drop a photo first\.'):
        app.read_upload(upload, tmp_path, 1)


def test_crafted_requests(server, photo):
    path = json.loads(server.upload('photo.jpg', photo.read_bytes())[1])[0]
    answer = server.request('segment', 'click', [{}, 'the ring', 0.5, None], 'crafted')
    assert 'Drop a photo first.' in answer['output']['data'][0]
    for text in (None, 5, ['the ring']):
        assert f'must be text; got {type(text).__name__}' in server.message(path, text)
    assert server.ask(path, 'the ring', session='crafted')['output']['data'][0] == ''
    for threshold in ('a', 5, 0, None, float('nan'), [0.5]):
        assert 'threshold must be a number between 0 and 1' in server.message(path, threshold=threshold), threshold
        answer = server.request('threshold', 'input', [None, threshold], 'crafted')
        assert 'threshold must be a number between 0 and 1' in answer['output']['error'], threshold


def test_show_computes_nothing_anew(app, inferencer, photo, tmp_path):
    """A slider of a page whose model is gone."""
    results = inferencer(photo, SENTENCES)
    demo = app.Demo(SimpleNamespace(threshold=0.5), tmp_path)
    kept = (app.as_shown(read_photo(photo)), results, 'note', [])
    for threshold in (0.05, 0.3, 0.5, 0.95):
        _, _, files = demo.show(kept, threshold)
        expected = [result.mask for result in inferencer(photo, SENTENCES, threshold=threshold)]
        for file, mask in zip(files, expected, strict=True):
            assert np.array_equal(np.asarray(Image.open(file)) > 0, mask)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [((64, 64), (640, 640)), ((1000, 500), (1000, 500)), ((4000, 2000), (1280, 640)), ((1, 2000), (1, 1280))],
)
def test_as_shown(app, size, expected):
    width, height = size
    photo = np.full((height, width, 3), 7, np.uint8)
    found = app.as_shown(photo)
    assert found.shape == (expected[1], expected[0], 3) and (found == 7).all()


def test_only_what_was_uploaded_is_opened(app, photo, tmp_path):
    """Whatever gradio lets through."""
    shutil.copy(photo, tmp_path / 'photo.jpg')
    (tmp_path / 'ours').mkdir()
    for path in ('photo.jpg', 'ours/../photo.jpg', 'ours/none.jpg'):
        with pytest.raises(ValueError, match=r'Drop a photo first|not a whole photo'):
            app.read_upload({'path': str(tmp_path / path)}, tmp_path / 'ours', 1)
    assert app.read_upload({'path': str(tmp_path / 'photo.jpg')}, tmp_path, 1).shape == (64, 64, 3)


def test_upright(app, tmp_path):
    """A phone's photo lies on its side, and says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new('RGB', (40, 20)).save(tmp_path / 'photo.jpg', exif=exif)
    assert app.read_upload({'path': str(tmp_path / 'photo.jpg')}, tmp_path, 1).shape == (40, 20, 3)


def test_queue_and_pages_are_limited(app):
    page = app.build_page(app.Demo(SimpleNamespace(threshold=0.5), Path()), [])
    assert page._queue.max_size == serving.MAX_WAITING
    assert {f.concurrency_limit for f in page.fns.values() if f.name == 'segment'} == {1}
    assert {f.concurrency_id for f in page.fns.values() if f.name == 'segment'} == {'model'}


def args(**changed: Any) -> Namespace:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    default = dict(model=None, checkpoint=None, device='cpu', precision='fp32', host='127.0.0.1', port=port)
    return Namespace(**{**default, **changed})


def refused(app: ModuleType, capsys: pytest.CaptureFixture, folder: Path, **changed: Any) -> str:
    """The one line that the command prints, and it ends with status 2."""
    with pytest.raises(SystemExit) as stop:
        app.serve(args(**changed), folder)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith('error: ') and not any('Traceback' in line for line in lines)
    return lines[-1]


def test_a_trained_folder_by_its_name(app, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('work_dirs').mkdir()
    Path('work_dirs/quickstart-photos').symlink_to(model)
    shown = []
    page = SimpleNamespace(launch=lambda **_: None)
    monkeypatch.setattr(app, 'build_page', lambda demo, examples: shown.append(demo.inferencer) or page)
    app.serve(args(model='quickstart-photos'), tmp_path)
    assert Path(shown[0].model.cfg.filename).parent == Path('work_dirs/quickstart-photos')


@pytest.mark.parametrize(
    ('dataset', 'drawn'),
    [
        (dict(ann_folder='refshapes+'), True),
        (dict(ann_folder='pool/refcoco'), False),
        (dict(ann_folder=None, ann_file='*.jsonl'), False),
        (dict(datasets=[]), False),
    ],
)
def test_drawn_examples_are_for_models_of_drawn_shapes(app, dataset, drawn):
    cfg = Config(dict(test_dataloader=dict(dataset=dataset)))
    assert app.knows_drawn_shapes_only(SimpleNamespace(model=SimpleNamespace(cfg=cfg))) == drawn


def test_command_line(app, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert 'bash tools/quickstart.sh' in refused(app, capsys, tmp_path)
    assert 'bash tools/quickstart.sh --photos DIR' in refused(app, capsys, tmp_path, model='quickstart-photos')
    assert 'nowhere' in refused(app, capsys, tmp_path, model='nowhere')
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        message = refused(app, capsys, tmp_path, port=port)
        assert f'port {port}' in message and message.endswith('give another --port')
    assert '65535' in refused(app, capsys, tmp_path, port=65536)
    for host in ('nosuchhost.invalid', '1.2.3.4', '2001:db8::1', 'a..b'):
        message = refused(app, capsys, tmp_path, host=host)
        assert host in message and message.endswith('give another --host'), message
    monkeypatch.setitem(sys.modules, 'gradio', None)
    assert 'pip install -r projects/web_demo/requirements.txt' in refused(app, capsys, tmp_path)


def test_the_precision_that_is_asked_for(app, model, monkeypatch, capsys, tmp_path):
    class Started(Exception):
        """In the place of a page."""

    def demo(inferencer: RISInferencer, folder: Path) -> None:
        raise Started(inferencer.precision)

    monkeypatch.setattr(app, 'Demo', demo)
    monkeypatch.setattr(app, 'knows_drawn_shapes_only', lambda inferencer: False)
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.choose_precision', lambda device: 'bf16')
    for asked, taken, said in (('auto', 'bf16', 'precision auto: bf16\n'), ('bf16', 'bf16', ''), ('fp32', 'fp32', '')):
        with pytest.raises(Started, match=taken):
            app.serve(args(model=str(model), precision=asked), tmp_path)
        assert capsys.readouterr().out == said


def test_loopback_by_default(app, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['app.py'])
    found = app.parse_args()
    assert (found.host, found.model) == ('127.0.0.1', None)


def has_ipv6() -> bool:
    try:
        socket.create_server(('::1', 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason='this machine has no ::1')
@pytest.mark.parametrize('host', ['::1', '[::1]'])
def test_ipv6(app, model, host, monkeypatch, tmp_path):
    import gradio

    pages = []

    def launch(page: Any, **options: Any) -> None:
        pages.append(page)
        start(page, prevent_thread_lock=True, quiet=True, **options)

    start = gradio.Blocks.launch
    monkeypatch.setattr(gradio.Blocks, 'launch', launch)
    monkeypatch.setattr(logging, 'shutdown', lambda *_: None)  # uvicorn would close the logs of other tests
    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path))
    options = args(host=host, model=str(model))
    app.serve(options, tmp_path)
    try:
        with urlopen(f'http://[::1]:{options.port}/') as answer:
            assert answer.status == 200
    finally:
        pages[0].close()


def test_settings_that_are_kept(app, monkeypatch):
    """A page behind a proxy must know its path."""
    kept = {'GRADIO_ROOT_PATH': '/demo', 'PATH': '/bin'}
    monkeypatch.setattr(os, 'environ', {**kept, **WIDENING})
    monkeypatch.setattr(tempfile, 'tempdir', None)
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    monkeypatch.setattr(sys, 'argv', ['app.py'])
    monkeypatch.setattr(app, 'serve', lambda *_: None)
    app.main()
    own = {os.environ.pop(name) for name in ('GRADIO_TEMP_DIR', 'GRADIO_EXAMPLES_CACHE')}
    assert os.environ == kept and len(own) == 1


# The command, with files instead of a model
FILES = """
import runpy, sys, time
from pathlib import Path
app = runpy.run_path(sys.argv.pop(1))
def serve(args, folder):
    for i in range(2000):
        (folder / f'{i}').touch()
    print('ready', flush=True)
    time.sleep(60)
app['main'].__globals__['serve'] = serve
app['main']()
"""


def test_uploads_go_however_often_it_is_ended(tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-c', FILES, APP],
        stdout=subprocess.PIPE, text=True, env={**os.environ, 'TMPDIR': str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == 'ready\n'
        assert len(list(tmp_path.glob('mgfe_ris_*/*'))) == 2000
        while process.poll() is None:
            process.terminate()
            time.sleep(0.001)
        assert not list(tmp_path.iterdir())
    finally:
        process.kill()
        process.stdout.close()
