"""The server on a real port of this process, with a tiny model; and once as a command."""

import asyncio
import base64
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from argparse import Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image
from slow import SLOW, slow

from mgfe_ris.apis import RISInferencer, load_model

INSTALL = 'the server needs: pip install -r projects/serve/requirements.txt'
for name in ('starlette', 'uvicorn', 'python_multipart', 'prometheus_client'):
    pytest.importorskip(name, reason=INSTALL)

REPO = Path(__file__).parents[2]
FOLDER = REPO / 'projects/serve'
SENTENCES = ['the red circle', 'the ring on the left', 'the blue one']

pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture(scope='module', autouse=True)
def modules() -> Iterator[Namespace]:
    """The server's own, as its command finds them."""
    sys.path.insert(0, str(FOLDER))
    import app
    import load
    import service
    import upload

    yield Namespace(app=app, load=load, service=service, upload=upload)
    sys.path.remove(str(FOLDER))


class Gated(RISInferencer):
    """Computes when the test lets it."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.gate = threading.Event()
        self.gate.set()

    def stream(self, jobs: Any, *args: Any, **options: Any) -> Iterator:
        self.gate.wait(30)
        return super().stream(jobs, *args, **options)


@pytest.fixture(scope='module')
def model(small_model: dict) -> Any:
    """Of random weights, its masks neither empty nor full."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = load_model('mgfe-ris_tiny_refshapes', options=small_model, device='cpu')
        ids, words = model.data_preprocessor.tokenizer(['red ring'])
        logits = model.segment(torch.randn(1, 3, 64, 64), ids, words).detach()[0]
    model.decode_head.classify.bias.data[1] += (logits[0] - logits[1]).median()
    return model


@pytest.fixture(scope='module')
def photos(refshapes: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((refshapes / 'images/refshapes').iterdir())]


class Running:
    """A server, and how to talk to it."""

    def __init__(self, modules: Namespace, inferencer: Gated, wait: float, max_waiting: int):
        self.modules, self.inferencer = modules, inferencer
        self.service = modules.service.Service(inferencer, wait, max_waiting)
        self.server = modules.service.ServiceServer(self.service, 1)
        listener = socket.create_server(('127.0.0.1', 0), backlog=2048)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # who does not read is noticed early
        self.port = listener.getsockname()[1]
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        self.thread.start()
        self.until(lambda: self.server.started)

    def until(self, holds: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end, 'it does not come about'
            time.sleep(0.005)

    def send(self, method: str, path: str, body: Any = None, headers: dict | None = None) -> tuple[int, Any]:
        """Status and what the JSON holds."""
        answer, content = self.exchange(method, path, body, headers)
        return answer.status, json.loads(content)

    def exchange(self, method: str, path: str, body: Any, headers: dict | None) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection('127.0.0.1', self.port, timeout=30)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def ask(self, photo: bytes, *sentences: str) -> tuple[int, Any]:
        body = self.modules.load.build_request(photo, list(sentences)).partition(b'\r\n\r\n')[2]
        return self.send('POST', '/segment', body, {'Content-Type': 'multipart/form-data; boundary=load'})

    def ask_json(self, asked: Any) -> tuple[int, Any]:
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        return self.send('POST', '/segment', body, {'Content-Type': 'application/json'})

    def connect(self, request: bytes) -> socket.socket:
        """Bytes as they are, on a connection that stays."""
        connection = socket.create_connection(('127.0.0.1', self.port), timeout=30)
        connection.sendall(request)
        return connection

    def metrics(self) -> dict[str, float]:
        _, text = self.exchange('GET', '/metrics', None, None)
        return {
            name: float(value)
            for name, value in (line.rsplit(' ', 1) for line in text.decode().splitlines() if not line.startswith('#'))
        }

    def is_empty(self) -> bool:
        return not self.service._inside and not self.service._held and not self.service.batcher.running


def answered(connection: socket.socket) -> tuple[int, dict, Any]:
    """Status, head and JSON, and that the server closes what it refused."""
    answer = HTTPResponse(connection)
    answer.begin()
    return answer.status, dict(answer.getheaders()), json.loads(answer.read())


@pytest.fixture(scope='module')
def start(modules: Namespace, model: Any) -> Callable:
    @contextmanager
    def start(
        batch_size: int = 16, wait: float = 0.005, max_waiting: int = 100, kind: type = Gated
    ) -> Iterator[Running]:
        running = Running(modules, kind(model, batch_size=batch_size), wait, max_waiting)
        try:
            yield running
        finally:
            running.inferencer.gate.set()
            running.server.should_exit = True
            running.thread.join(30)
            assert not running.thread.is_alive()

    return start


@pytest.fixture(scope='module')
def server(start: Callable) -> Iterator[Running]:
    with start() as running:
        yield running
        assert running.ask_json({})[0] == 422  # it lives
        running.until(running.is_empty)


def expected(inferencer: RISInferencer, photo: bytes, *sentences: str) -> list[dict]:
    results = [result.to_json() for result in inferencer(Image.open(io.BytesIO(photo)), sentences)]
    return [{key: value for key, value in result.items() if key != 'photo'} for result in results]


def same(found: list[dict], wanted: list[dict]) -> bool:
    """Run lengths to the letter, the mean score within rounding."""
    fitting = pytest.approx([result.pop('confidence') for result in wanted], abs=2e-4)
    return [result.pop('confidence') for result in found] == fitting and found == json.loads(json.dumps(wanted))


def test_a_model_that_draws_polygons_has_no_confidence(modules, photos, tmp_path):
    from polygon_toy import write_toy

    running = Running(modules, Gated(write_toy(tmp_path / 'toy'), device='cpu'), 0, 10)
    try:
        status, found = running.ask(photos[0], 'the red ring', 'red')
    finally:
        running.server.should_exit = True
        running.thread.join(30)
    assert status == 200 and [result['confidence'] for result in found['results']] == [None, None]
    assert found['results'][0]['area'] > found['results'][1]['area'] > 0


def test_requests_that_wait_are_one_batch(start, model, photos):
    """Of one sentence or several, and each gets what it would get alone."""
    asked = [(photo, SENTENCES[: 1 + i % 3 % 2]) for i, photo in enumerate(photos[:20])]
    alone = RISInferencer(model)
    with start(batch_size=32, wait=0) as server, ThreadPoolExecutor(len(asked)) as clients:
        server.inferencer.gate.clear()
        first = clients.submit(server.ask, *asked[0][:1], *asked[0][1])
        server.until(lambda: server.service.batcher.running)
        rest = [clients.submit(server.ask, photo, *sentences) for photo, sentences in asked[1:]]
        server.until(lambda: server.service.waiting == len(rest) == len(server.service.batcher._queue))
        server.inferencer.gate.set()
        for (photo, sentences), answer in zip(asked, [first, *rest], strict=True):
            status, found = answer.result()
            assert status == 200
            assert same(found['results'], expected(alone, photo, *sentences))
        metrics = server.metrics()
    assert metrics['mgfe_ris_batch_requests_count'] == 2 and metrics['mgfe_ris_batch_requests_sum'] == len(asked)
    assert metrics['mgfe_ris_sentences_total'] == sum(len(sentences) for _, sentences in asked)


def test_the_first_waits_for_others(start, photos):
    with start(batch_size=3, wait=20) as server, ThreadPoolExecutor(3) as clients:
        answers = list(clients.map(server.ask, photos[:3], SENTENCES))  # full: it does not wait for 20 seconds
        assert [status for status, _ in answers] == [200] * 3
        assert server.metrics()['mgfe_ris_batch_requests_count'] == 1


def test_large_photos_are_not_decoded_together(start, modules, photos):
    with start(batch_size=4) as server, ThreadPoolExecutor(5) as clients:
        server.service.batcher.max_pixels = 2 * 64 * 64
        server.inferencer.gate.clear()
        answers = [clients.submit(server.ask, photo, 'the ring') for photo in photos[:5]]
        server.until(lambda: server.service.waiting + len(server.service.batcher.running) == 5)
        server.inferencer.gate.set()
        assert [answer.result()[0] for answer in answers] == [200] * 5
        assert server.metrics()['mgfe_ris_batch_requests_bucket{le="2.0"}'] >= 3


def test_json(server, photos):
    form = server.ask(photos[0], *SENTENCES[:2])
    photo = base64.b64encode(photos[0]).decode()
    assert server.ask_json({'photo': photo, 'sentences': SENTENCES[:2]}) == form
    one = server.ask_json({'photo': photo, 'sentences': SENTENCES[0]})
    assert one[0] == 200 and [result['sentence'] for result in one[1]['results']] == SENTENCES[:1]


def picture(width: int, height: int, kind: str = 'PNG') -> bytes:
    buffer = io.BytesIO()
    Image.new('RGB', (width, height)).save(buffer, kind)
    return buffer.getvalue()


BASE64 = base64.b64encode(picture(8, 8)).decode()
HUGE = struct.pack('>II', 5001, 5000).join((picture(8, 8)[:16], picture(8, 8)[24:]))
HUGE = HUGE[:29] + struct.pack('>I', zlib.crc32(HUGE[12:29])) + HUGE[33:]  # a header, and what was small
WRONG_FORMS = [
    (picture(99, 99, 'JPEG')[:-50], ['the ring'], 422, 'its end is missing'),
    (picture(99, 99)[:-50], ['the ring'], 422, 'not a readable image'),
    (b'no photo', ['the ring'], 415, 'not a whole photo'),
    (b'', ['the ring'], 415, 'not a whole photo'),
    (picture(8, 8, 'TIFF'), ['the ring'], 415, 'BMP, GIF, JPEG'),
    (HUGE, ['the ring'], 413, 'more than 25,000,000'),
    (picture(4000, 3000), ['the ring'] * 5, 413, 'at most 4 at a time'),
    (bytes(20_000_001), ['the ring'], 413, 'at most 20,000,000'),
    (bytes(22_000_000), ['the ring'], 413, 'more than 21,000,000 bytes'),
    (picture(8, 8), [], 422, 'Say which object'),
    (picture(8, 8), [' '], 422, 'the sentence is empty'),
    (picture(8, 8), ['the ring'] * 7, 422, '7 sentences: at most 6'),
    (picture(8, 8), ['the ring'] * 101, 400, 'Too many fields'),
    (picture(8, 8), ['a' * 201], 422, '201 letters'),
]  # fmt: skip


@pytest.mark.parametrize(('photo', 'sentences', 'status', 'message'), WRONG_FORMS, ids=lambda value: str(value)[:20])
def test_wrong_forms(server, photo, sentences, status, message):
    found, answer = server.ask(photo, *sentences)
    assert found == status and set(answer) == {'error'} and message in answer['error'], answer


WRONG_JSON = [
    (b'{', 400, 'not JSON'),
    (b'\xff', 400, 'not JSON'),
    (b'[' * 4000, 400, 'not JSON'),
    (b'[' + b'{},' * 1_000_000, 400, 'not the JSON'),
    ([], 422, 'expected {'),
    ({'photo': BASE64}, 422, 'expected {'),
    ({'photo': BASE64, 'sentences': ['a'], 'url': 'http://127.0.0.1'}, 422, 'no other keys'),
    ({'photo': 'http://127.0.0.1/photo.jpg', 'sentences': ['a']}, 400, 'addresses are not fetched'),
    ({'photo': '/etc/passwd', 'sentences': ['a']}, 400, 'not base64'),
    ({'photo': 'é', 'sentences': ['a']}, 400, 'not base64'),
    ({'photo': 5, 'sentences': ['a']}, 422, 'expected {'),
    ({'photo': BASE64, 'sentences': 5}, 422, 'list of text'),
    ({'photo': BASE64, 'sentences': [5]}, 422, 'must be text; got int'),
    ({'photo': BASE64, 'sentences': [None, 'a']}, 422, 'must be text'),
    ({'photo': BASE64, 'sentences': ['\ud800']}, 422, 'a letter that is none'),
    ({'photo': BASE64, 'sentences': []}, 422, 'Say which object'),
]  # fmt: skip


@pytest.mark.parametrize(('asked', 'status', 'message'), WRONG_JSON, ids=lambda value: str(value)[:20])
def test_wrong_json(server, asked, status, message):
    found, answer = server.ask_json(asked)
    assert found == status and set(answer) == {'error'} and message in answer['error'], answer


PART = b'--load\r\nContent-Disposition: form-data; name="photo"'
FORM = 'multipart/form-data; boundary=load'


@pytest.mark.parametrize(
    ('body', 'kind', 'status', 'message'),
    [
        (b'', 'text/plain', 415, "got 'text/plain'"),
        (b'', '', 415, 'expected Content-Type'),
        (b'a=b', 'application/x-www-form-urlencoded', 415, 'expected Content-Type'),
        (b'x', 'multipart/form-data', 400, 'boundary'),
        (b'x', FORM, 400, 'not a form'),
        (PART + b'; filename="' + b'a' * 10_000 + b'"\r\n\r\na\r\n--load--\r\n', FORM, 400, 'not a form'),
        (PART, FORM, 422, 'one file named photo'),
        (PART + b'\r\n\r\nhttp://127.0.0.1/\r\n--load--\r\n', FORM, 422, 'not fetched'),
        (2 * (PART + b'; filename="a"\r\n\r\na\r\n') + b'--load--\r\n', FORM, 400, 'Too many files'),
        (b'--load\r\n\r\na\r\n--load--\r\n', FORM, 400, 'not a form'),
        (PART.replace(b'photo', b'url') + b'\r\n\r\nhttp://\r\n--load--\r\n', FORM, 422, "the form has 'url'"),
    ],
)
def test_wrong_bodies(server, body, kind, status, message):
    found, answer = server.send('POST', '/segment', body, {'Content-Type': kind})
    assert found == status and set(answer) == {'error'} and message in answer['error'], answer


def test_other_routes(server):
    assert server.send('GET', '/segment') == (405, {'error': 'Method Not Allowed'})
    assert server.send('GET', '/etc/passwd') == (404, {'error': 'Not Found'})
    assert server.send('POST', '/segment', b'x', {'Content-Type': FORM, 'Content-Encoding': 'gzip'})[0] == 415


# Bodies that are not what they say


def head(*lines: str) -> bytes:
    return '\r\n'.join(('POST /segment HTTP/1.1', 'Host: x', f'Content-Type: {FORM}', *lines, '', '')).encode()


def test_a_length_that_is_too_large_is_refused_unread(server):
    with server.connect(head('Content-Length: 99999999999')) as connection:
        status, headers, answer = answered(connection)
        assert status == 413 and 'bytes' in answer['error'] and headers['connection'] == 'close'
    with server.connect(head('Content-Length: 99999999999', 'Expect: 100-continue')) as connection:
        assert connection.recv(1000).startswith(b'HTTP/1.1 413')


def test_an_endless_body_ends(server):
    """It never says its length, and is never in memory."""
    part = PART + b'; filename="a"\r\n\r\n' + bytes(1_000_000)
    with server.connect(head('Transfer-Encoding: chunked')) as connection:
        sent = 0
        try:
            while sent < 500_000_000:
                connection.sendall(f'{len(part):x}\r\n'.encode() + part + b'\r\n')
                sent += len(part)
                part = bytes(1_000_000)
        except OSError:
            pass
    assert 20_000_000 < sent < 500_000_000
    server.until(server.is_empty)


def test_chunks_are_counted(server, photos):
    body = server.modules.load.build_request(photos[0], ['the ring']).partition(b'\r\n\r\n')[2]
    kind = {'Content-Type': FORM}
    assert server.send('POST', '/segment', iter([body[:100], body[100:]]), kind)[0] == 200
    status, answer = server.send('POST', '/segment', iter([bytes(1_000_000)] * 21 + [b'x']), kind)
    assert status == 400  # no form from its first byte on
    part = PART + b'; filename="a"\r\n\r\n'
    status, answer = server.send('POST', '/segment', iter([part] + [bytes(1_000_000)] * 21), kind)
    assert status == 413 and 'more than 21,000,000' in answer['error']


@pytest.mark.parametrize('body', [b'', PART, PART + b'; filename="a"\r\n\r\nabc'])
def test_a_body_that_does_not_come(server, monkeypatch, body):
    monkeypatch.setattr(server.modules.service, 'BODY_SECONDS', 0.2)
    with server.connect(head('Content-Length: 5000') + body) as connection:
        status, headers, answer = answered(connection)
    assert status == 408 and 'was not there' in answer['error'] and headers['connection'] == 'close'
    server.until(server.is_empty)


def test_a_client_that_goes_away_while_it_sends(server):
    server.connect(head('Content-Length: 5000') + PART).close()
    server.until(lambda: server.metrics().get('mgfe_ris_requests_total{status="499"}'))
    server.until(server.is_empty)


@pytest.mark.parametrize('text', [b'', b'POST /segment HTTP/1.1\r\nA: '])
def test_a_head_that_does_not_come(server, monkeypatch, text):
    monkeypatch.setattr(server.modules.service, 'HEAD_SECONDS', 0.2)
    with server.connect(text) as connection:
        assert connection.recv(1000) == b''


def test_a_client_that_reads_nothing(server, monkeypatch):
    monkeypatch.setattr(server.modules.service, 'SEND_SECONDS', 0.2)
    server.until(lambda: not server.server.server_state.connections)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(('127.0.0.1', server.port))
        connection.settimeout(0.1)
        with pytest.raises(OSError, match=r'reset|Broken pipe'):
            for _ in range(1_000_000):
                with suppress(TimeoutError):
                    connection.send(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    server.until(lambda: not server.server.server_state.connections)


def test_a_body_behind_an_early_refusal_is_read_for_a_moment_only(server, monkeypatch):
    monkeypatch.setattr(server.modules.service, 'LINGER_SECONDS', 0.2)
    with server.connect(head('Content-Length: 99999999')) as connection:
        assert answered(connection)[0] == 413
        assert connection.recv(1000) == b''


def test_photos_stay_off_the_disk(server, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, 'tempdir', '/no/such/folder')
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, 'PNG')
    assert len(buffer.getvalue()) > 2_000_000
    assert server.ask(buffer.getvalue(), 'the ring')[0] == 200


# More than it can do


def test_further_requests_are_refused_at_once(start, photos):
    with start(batch_size=1, max_waiting=2) as server, ThreadPoolExecutor(3) as clients:
        server.inferencer.gate.clear()
        first = clients.submit(server.ask, photos[0], 'the ring')
        server.until(lambda: server.service.batcher.running)
        second = clients.submit(server.ask, photos[1], 'the ring')
        server.until(lambda: server.service.waiting == 1)
        # a client that sends, or waits, has a place, and leaves it when it goes
        for request in (head('Content-Length: 5000'), server.modules.load.build_request(photos[2], ['the ring'])):
            with server.connect(request):
                server.until(lambda: server.service.waiting == 2)
                answer, content = server.exchange('POST', '/segment', b'x', {'Content-Type': FORM})
                assert answer.status == 503 and answer.headers['Retry-After'] == '1'
                assert json.loads(content) == {'error': '2 requests are waiting'}
                assert server.metrics()['mgfe_ris_waiting'] == 2
            server.until(lambda: server.service.waiting == len(server.service.batcher._queue) == 1)
        server.inferencer.gate.set()
        assert (first.result()[0], second.result()[0]) == (200, 200)
        metrics = server.metrics()
        counts = {status: metrics[f'mgfe_ris_requests_total{{status="{status}"}}'] for status in (200, 499, 503)}
        assert counts == {200: 2, 499: 2, 503: 2}
        assert metrics['mgfe_ris_batch_requests_count'] == 2  # nothing was computed for who had gone
        server.until(server.is_empty)


def test_a_flood_that_is_refused_leaves_nothing(start, modules, photos):
    requests = [modules.load.build_request(photos[0], ['the ring'])] * 60
    with start(max_waiting=1, batch_size=1) as server:
        assert server.ask(photos[0], 'the ring')[0] == 200
        before = server.metrics()
        server.inferencer.gate.clear()
        flood = [server.connect(request) for request in requests]
        server.until(lambda: server.metrics().get('mgfe_ris_requests_total{status="503"}', 0) >= len(flood) - 2)
        server.inferencer.gate.set()
        for connection in flood:
            connection.close()
        server.until(lambda: not server.server.server_state.connections)
        server.until(server.is_empty)
        behind = server.metrics()
        # less, where a server of another test is still ending
        assert behind['mgfe_ris_threads'] <= before['mgfe_ris_threads']
        assert behind.get('process_open_fds', 0) <= before.get('process_open_fds', 0)


def test_bytes_of_all_that_wait(start, modules, monkeypatch):
    monkeypatch.setattr(modules.service, 'MAX_HELD', 1_000_000)
    with start() as server:
        status, answer = server.ask(bytes(1_000_001), 'the ring')
        assert status == 503 and '1,000,000 bytes of photos are waiting' in answer['error']
        server.until(server.is_empty)


def test_an_answer_that_takes_too_long(start, modules, monkeypatch, photos):
    monkeypatch.setattr(modules.service, 'ANSWER_SECONDS', 0.2)
    with start() as server:
        server.inferencer.gate.clear()
        status, answer = server.ask(photos[0], 'the ring')
        assert (status, answer) == (504, {'error': 'no masks after 0.2 seconds'})


class Failing(Gated):
    """As one whose memory does not suffice for a photo."""

    def _segment(self, group: Any, threshold: float) -> Iterator:
        if any(text == 'the bomb' for prepared in group for text in prepared.texts):
            raise RuntimeError('out of memory')
        return super()._segment(group, threshold)


def test_one_that_fails_takes_no_others_along(start, photos):
    with start(kind=Failing, wait=5, batch_size=3) as server, ThreadPoolExecutor(3) as clients:
        texts = ['the ring', 'the bomb', 'the ring']
        answers = list(clients.map(server.ask, photos[:3], texts))
        assert [status for status, _ in answers] == [200, 500, 200]
        assert answers[1][1] == {'error': 'the server failed; its log says where'}
        assert server.metrics()['mgfe_ris_batch_requests_count'] == 1


def test_health_and_metrics(start, model, photos):
    from prometheus_client.parser import text_string_to_metric_families

    with start() as server:
        about = {
            'status': 'ready',
            'model': 'mgfe-ris_tiny_refshapes',
            'fingerprint': RISInferencer(model).fingerprint(),
        }
        assert server.send('GET', '/health') == (200, about)
        assert server.ask(photos[0], *SENTENCES)[0] == 200
        answer, text = server.exchange('GET', '/metrics', None, None)
        assert answer.headers['Content-Type'].startswith('text/plain')
        families = {family.name: family for family in text_string_to_metric_families(text.decode())}
        assert families['mgfe_ris_requests'].samples[0].value == 1
        assert families['mgfe_ris_sentences'].samples[0].value == 3
        assert {families[f'mgfe_ris_{name}'].type for name in ('batch_requests', 'request_seconds')} == {'histogram'}
        assert families['mgfe_ris_threads'].samples[0].value >= 2
        if Path('/proc/self/status').exists():
            assert families['process_resident_memory_bytes'].samples[0].value > 10_000_000


# How it ends


def test_what_runs_is_finished_and_what_is_new_refused(start, photos):
    with start(batch_size=1) as server, ThreadPoolExecutor(1) as clients:
        server.inferencer.gate.clear()
        first = clients.submit(server.ask, photos[0], 'the ring')
        server.until(lambda: server.service.batcher.running)
        with server.connect(b'') as early:
            server.server.should_exit = True
            server.until(lambda: server.service.ending)
            assert early.recv(100) == b''
        with pytest.raises(ConnectionRefusedError):
            server.ask(photos[1], 'the ring')
        server.inferencer.gate.set()
        assert first.result()[0] == 200


def test_what_takes_longer_is_refused_in_the_end(start, photos):
    with start(batch_size=1) as server, ThreadPoolExecutor(2) as clients:
        server.inferencer.gate.clear()
        answers = [clients.submit(server.ask, photo, 'the ring') for photo in photos[:2]]
        server.until(lambda: server.service.waiting + len(server.service.batcher.running) == 2)
        server.server.should_exit = True
        for answer in answers:
            assert answer.result() == (503, {'error': 'the server is ending'})
        server.thread.join(10)
        assert not server.thread.is_alive()  # though the model computes


# Many at once


def grown(server: Running, requests: list[bytes], rounds: int) -> list[dict[str, float]]:
    """Metrics after each round, of which all are served."""
    load = server.modules.load
    behind = []
    for _ in range(rounds):
        answers = asyncio.run(load.ask_all('127.0.0.1', server.port, requests, len(requests)))
        assert {answer.status for answer in answers} == {200}
        server.until(server.is_empty)
        server.until(lambda: not server.server.server_state.connections)
        behind.append(server.metrics())
    return behind


def test_sixty_at_once(start, modules, model, photos):
    requests = [modules.load.build_request(photo, ['the ring']) for photo in (photos * 2)[:60]]
    with start() as server:
        before, behind = grown(server, requests, 2)
        for name in ('mgfe_ris_threads', 'process_open_fds'):
            assert behind.get(name, 0) <= before.get(name, 0), name
        assert behind['mgfe_ris_batch_requests_count'] < 60  # of 120


@slow('a minute')
def test_a_thousand_at_once(start, modules, photos):
    requests = [modules.load.build_request(photo, ['the ring']) for photo in photos * 25]
    with start(max_waiting=1000) as server:
        *_, first, _, _, last = grown(server, requests, 6)  # a process needs a few rounds to find its size
        for name in ('mgfe_ris_threads', 'process_open_fds'):
            assert last[name] <= first[name], name
        # the client's memory is in it, too, since this is one process
        assert last['process_resident_memory_bytes'] < 1.02 * first['process_resident_memory_bytes']


# The command


def args(**changed: Any) -> Namespace:
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    default = dict(model=None, checkpoint=None, device='cpu', precision='fp32', host='127.0.0.1', port=port)
    return Namespace(**{**default, 'batch_size': 16, 'wait_ms': 5.0, 'max_waiting': 16, **changed})


def test_what_is_wrong_is_said_in_a_line(modules, capsys, tmp_path, monkeypatch):
    def refused(**changed: Any) -> str:
        with pytest.raises(SystemExit) as stop:
            modules.app.serve(args(**changed))
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1].startswith('error: ') and not any('Traceback' in line for line in lines)
        return lines[-1]

    monkeypatch.chdir(tmp_path)
    assert 'bash tools/quickstart.sh' in refused()
    assert 'nowhere' in refused(model='nowhere')
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        assert refused(port=port).endswith('give another --port')
    assert '65535' in refused(port=65536)
    assert refused(host='nosuchhost.invalid').endswith('give another --host')
    assert '--batch-size' in refused(batch_size=0) and '--max-waiting' in refused(max_waiting=0)
    for wait in (-1, float('nan'), float('inf')):
        assert '--wait-ms' in refused(wait_ms=wait)
    monkeypatch.setitem(sys.modules, 'service', None)
    assert 'pip install -r projects/serve/requirements.txt' in refused()


def test_the_precision_that_is_asked_for(modules, model, monkeypatch, capsys):
    class Started(Exception):
        """In the place of a server."""

    def service(inferencer: RISInferencer, *_: Any) -> None:
        raise Started(inferencer.precision)

    monkeypatch.setattr(modules.service, 'Service', service)
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.load_trained', lambda *_: model)
    monkeypatch.setattr('mgfe_ris.apis.infer.inferencer.choose_precision', lambda device: 'bf16')
    for asked, taken, said in (('auto', 'bf16', 'precision auto: bf16\n'), ('bf16', 'bf16', ''), ('fp32', 'fp32', '')):
        with pytest.raises(Started, match=taken):
            modules.app.serve(args(model='x', precision=asked))
        assert capsys.readouterr().out == said


def test_loopback_by_default(modules, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['app.py'])
    assert modules.app.parse_args().host == '127.0.0.1'


@pytest.fixture
def clone(model_folder: Path, refshapes: Path, tmp_path: Path) -> Path:
    """Where the README's commands find a model and photos."""
    (tmp_path / 'projects').symlink_to(REPO / 'projects')
    for name, place in (('work_dirs/quickstart', model_folder), ('data/try', refshapes)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).symlink_to(place)
    return tmp_path


SIGNALS = [signal.SIGTERM] + [signal.SIGINT] * SLOW


@pytest.mark.parametrize('number', SIGNALS)
def test_readme(clone, model_folder, monkeypatch, number):
    """Its commands, the client in Python, and an end by a signal."""
    readme = (FOLDER / 'README.md').read_text(encoding='utf-8')
    port = str(args().port)
    (code,) = re.findall(r'(?ms)^```python\n(.*?)^```$', readme)
    typed = [line for block in re.findall(r'(?ms)^```bash\n(.*?)^```$', readme) for line in block.splitlines()]
    install, start, *_ = typed
    (curl,) = (shlex.split(line.replace('8000', port)) for line in typed if line.startswith('curl -F'))
    assert install == 'pip install -r projects/serve/requirements.txt' and start.startswith(
        'python projects/serve/app.py'
    )
    monkeypatch.chdir(clone)
    with subprocess.Popen(
        [sys.executable, '-W', 'ignore', *shlex.split(start, comments=True)[1:], '--port', port],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
    ) as process:  # fmt: skip
        try:
            ready = next((line for line in process.stdout if 'http' in line), '')  # mmseg prints, too
            names: dict = {}
            if ready:
                exec(code.replace('8000', port), names)
                by_curl = json.loads(subprocess.check_output(curl)) if shutil.which('curl') else None
            process.send_signal(number)
            _, log = process.communicate(timeout=20)
        finally:
            process.kill()
    assert ready.endswith(f'http://127.0.0.1:{port}/segment\n'), log
    assert process.returncode == 0 and 'Traceback' not in log, log
    photo = Path('data/try/images/refshapes/000003.jpg')
    wanted = expected(RISInferencer(model_folder, device='cpu'), photo.read_bytes(), *names['sentences'])
    assert np.array_equal(names['masks'], [coco_mask.decode(result['rle']) for result in wanted])
    assert by_curl is None or same(by_curl['results'], wanted)


# The command, with a model that takes a minute
STUCK = """
import runpy, sys, threading, time
import mgfe_ris.apis.infer.inferencer as inferencer
stream = inferencer.RISInferencer.stream
def wait(*args):
    print('computes', flush=True)
    time.sleep(60)
    return stream(*args)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition('/')[0])
app = runpy.run_path(sys.argv[0])
def serve_slowly(*args):
    inferencer.RISInferencer.stream = wait
    return run(*args)
import service
run, service.ServiceServer.run = service.ServiceServer.run, serve_slowly
app['main']()
"""


@slow('a process that ends in 10 seconds')
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_it_ends_though_the_model_computes(modules, model_folder, photos, number):
    port = args().port
    command = [sys.executable, '-W', 'ignore', '-c', STUCK, str(FOLDER / 'app.py'), '--model', str(model_folder)]
    with subprocess.Popen(
        [*command, '--port', str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
    ) as process, ThreadPoolExecutor(1) as clients:  # fmt: skip
        try:
            assert any('http' in line for line in process.stdout)
            request = modules.load.build_request(photos[0], ['the ring'])
            answer = clients.submit(lambda: asyncio.run(modules.load.ask('127.0.0.1', port, request)))
            assert process.stdout.readline() == 'computes\n'
            process.send_signal(number)
            begin = time.monotonic()
            _, log = process.communicate(timeout=20)
        finally:
            process.kill()
        assert time.monotonic() - begin < 10 and process.returncode == 0 and 'Traceback' not in log, log
        assert (answer.result().status, json.loads(answer.result().body)) == (503, {'error': 'the server is ending'})
