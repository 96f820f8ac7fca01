"""Downloads: whatever a server does, they end at one deadline and one limit of bytes, and reach no private address."""

import base64
import io
import itertools
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from mgfe_ris import download as module
from mgfe_ris.download import download, is_public

OK = b'HTTP/1.1 200 OK\r\n'
LIMIT = 300_000


class Server:
    """Answers each line with what ``answers`` says of its path; ``asked``: the lines of the requests."""

    def __init__(self) -> None:
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.url = f'http://127.0.0.1:{self.port}'
        self.asked: list[bytes] = []
        self.sent = 0
        self.answers: dict[str, Callable[[], Iterator[bytes]]] = {}
        self.ended = threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                line, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.answer, args=(line,), daemon=True).start()

    def answer(self, line: socket.socket) -> None:
        with line:
            try:
                head = b''
                while b'\r\n\r\n' not in head:
                    head += line.recv(4096)
                self.asked.append(head)
                for part in self.answers.get(head.split()[1].decode(), lambda: [OK + b'\r\nbody'])():
                    line.sendall(part)
                    self.sent += len(part)
            except OSError:  # who asked went away
                pass

    def drip(self, *first: bytes) -> Callable[[], Iterator[bytes]]:
        def parts() -> Iterator[bytes]:
            yield from first
            while not self.ended.wait(0.03):
                yield b'a'

        return parts

    def flood(self, first: bytes, piece: bytes) -> Callable[[], Iterator[bytes]]:
        return lambda: itertools.chain([first], itertools.repeat(piece * (65536 // len(piece))))


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv('no_proxy', '*')
    server = Server()
    yield server
    server.ended.set()
    server.socket.close()


def fetch(address: str, seconds: float = 0.3, silence: float = 9, private: bool = True) -> bytes:
    out = io.BytesIO()
    download(address, out, LIMIT, seconds, silence, private)
    return out.getvalue()


def test_every_form_of_a_body(server):
    chunks = b'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'
    server.answers = {
        '/length': lambda: [OK + b'Content-Length: 5\r\n\r\nabcdefgh'],
        '/chunks': lambda: [OK + chunks],
        '/end': lambda: [OK + b'\r\nab', b'cde'],
        '/on': lambda: [b'HTTP/1.1 100 Continue\r\n\r\n' * 3 + OK + b'\r\nabcde'],
        '/moved': lambda: [b'HTTP/1.1 302 Found\r\nLocation: length?a=%C3%A4#b\r\n\r\n'],
        '/length?a=%C3%A4': lambda: [OK + b'\r\nabcde'],
        '/%C3%A4%20b?c=%20d': lambda: [OK + b'\r\nabcde'],
    }
    for path in ('/length', '/chunks', '/end', '/on', '/moved', '/ä b?c= d'):
        assert fetch(server.url + path) == b'abcde', path
    assert f'Host: 127.0.0.1:{server.port}\r\n'.encode() in server.asked[0]
    assert b'Accept-Encoding: identity' in server.asked[0]


MOVED = b'HTTP/1.1 302 Found\r\nLocation: /x\r\n'


@pytest.mark.parametrize(
    'first', [b'', b'HTTP/1.1 ', OK + b'X: ', MOVED + b'X: ', OK + b'\r\n', OK + b'Content-Length: 999999\r\n\r\n',
              OK + b'Transfer-Encoding: chunked\r\n\r\n', OK + b'Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n',
              b'HTTP/1.1 404 ' ]
)  # fmt: skip
def test_drips_end_at_the_deadline(server, first):
    server.answers['/'] = server.drip(first)
    start = time.monotonic()
    with pytest.raises((OSError, ValueError), match=r'no end after 0\.3 seconds|more than 300,000|no answer in HTTP'):
        fetch(server.url + '/')
    assert time.monotonic() - start < 5  # the server would go on for ever


def test_redirects_share_the_deadline(server):
    def late() -> Iterator[bytes]:
        time.sleep(0.12)
        yield b'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n'

    server.answers['/'] = late
    with pytest.raises(OSError, match=r'no end after 0\.3 seconds'):
        fetch(server.url + '/')
    assert len(server.asked) <= 3


def test_silence_ends_it(server):
    server.answers['/'] = lambda: [OK, server.ended.wait(60) and b'']
    with pytest.raises(OSError, match=r'nothing came for 0\.1 seconds'):
        fetch(server.url + '/', seconds=60, silence=0.1)


@pytest.mark.parametrize(
    ('first', 'piece'),
    [
        (b'', b'X'),
        (OK, b'X: y\r\n'),
        (OK + b'X: ', b'y'),
        (b'', b'HTTP/1.1 100 Continue\r\n\r\n'),
        (b'', b'HTTP/1.1 100 Continue\r\nX: y\r\n\r\n'),
        (OK + b'\r\n', b'body'),
        (OK + b'Content-Length: 999999999999\r\n\r\n', b'body'),
        (OK + b'Transfer-Encoding: chunked\r\n\r\n', b'4\r\nbody\r\n'),
        (OK + b'Transfer-Encoding: chunked\r\n\r\n', b'ffffffff'),
        (OK + b'Transfer-Encoding: chunked\r\n\r\n0\r\n', b'X: y\r\n'),
        (OK + b'Content-Encoding: gzip\r\n\r\n', b'\x1f\x8b'),
    ],
)
def test_floods_end_at_the_limit(server, first, piece):
    server.answers['/'] = server.flood(first, piece)
    with pytest.raises((OSError, ValueError), match=r'than 300,000|HTTP|compressed'):
        fetch(server.url + '/', seconds=60)
    assert server.sent < 20 * LIMIT  # with what the system's buffers hold


def test_no_more_than_the_length_is_read(server):
    server.answers['/'] = server.flood(OK + b'Content-Length: 200000\r\n\r\n', b'body')
    assert len(fetch(server.url + '/', seconds=60)) == 200_000


def test_no_body_of_a_redirect_is_read(server):
    server.answers['/'] = server.flood(MOVED + b'Content-Length: 99999999\r\n\r\n', b'body')
    assert fetch(server.url + '/', seconds=60) == b'body'
    assert server.sent < 20 * LIMIT


def test_redirects_end(server):
    server.answers = {f'/{i}': lambda i=i: [b'HTTP/1.1 307 X\r\nLocation: /%d\r\n\r\n' % (i + 1)] for i in range(20)}
    with pytest.raises(OSError, match='more than 5 redirects'):
        fetch(server.url + '/0', seconds=60)
    assert len(server.asked) == 6


@pytest.mark.parametrize('place', ['file:///etc/hostname', 'ftp://127.0.0.1/x', 'data:,x', 'https:///x', 'gopher://x'])
def test_redirects_to_what_is_no_http(server, place):
    server.answers['/'] = lambda: [f'HTTP/1.1 302 X\r\nLocation: {place}\r\n\r\n'.encode()]
    with pytest.raises(ValueError, match=r'no http address|no host'):
        fetch(server.url + '/', seconds=60)


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        (b'HTTP/1.1 404 Not Found\r\n\r\n', '^404 Not Found$'),
        (b'HTTP/1.1 204 No Content\r\n\r\n', '204 No Content'),
        (b'HTTP/1.1 302 Found\r\n\r\n', '302 Found'),
        (b'no protocol\r\n\r\n', 'no answer in HTTP: BadStatusLine no protocol'),
        (b'', 'without response'),
        (OK + b'Content-Length: 10\r\n\r\nabc', 'it broke off, 7 bytes before its end'),
        (OK + b'Transfer-Encoding: chunked\r\n\r\n9\r\nabc', 'no answer in HTTP: IncompleteRead'),
        (OK + b'Content-Encoding: br\r\n\r\nabc', r'compressed \(br\)'),
    ],
)
def test_answers_that_are_no_file(server, answer, message):
    server.answers['/'] = lambda: [answer]
    with pytest.raises(OSError, match=message) as error:
        fetch(server.url + '/', seconds=60)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'address',
    ['http://', 'https://[', 'http://127.0.0.1:99999/', 'http://me:secret@127.0.0.1/', 'http:///x', 'file:///x'],
)
def test_what_is_no_address(address):
    with pytest.raises(ValueError, match=r'host|Port|IPv6|user|no http'):
        fetch(address)


# Private addresses


PRIVATE = """
    127.0.0.1 127.9.9.9 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 224.0.1.1 239.1.1.1
    240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd12::1 fec0::1 ff02::1 ff0e::1
    ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 2002:7f00:1::1 2002:a00:1::1 64:ff9b::7f00:1
    64:ff9b::a9fe:a9fe 64:ff9b:1::1 2001:db8::1 2001::1 100::1
"""


@pytest.mark.parametrize('address', PRIVATE.split())
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize('address', ['8.8.8.8', '1.1.1.1', '2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::808:808'])
def test_addresses_that_are_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    'host', ['127.0.0.1', 'localhost', '127.1', '2130706433', '0x7f.0.0.1', '[::ffff:127.0.0.1]', '0']
)
def test_this_machine_in_every_spelling(server, host):
    with pytest.raises(ValueError, match='is not a public address; those are read with private_addresses=True'):
        fetch(f'http://{host}:{server.port}/', private=False)
    assert not server.asked


def test_a_name_that_means_another_address_each_time(server, monkeypatch):
    """It is looked up once; what was compared is what is connected to."""
    peers = iter(['8.8.8.8', '127.0.0.1', '127.0.0.1'])
    connected = []

    def connect(self: socket.socket, peer: tuple) -> None:
        connected.append(peer)
        raise OSError('nobody there')

    def resolved(*_: object, **__: object) -> list:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (next(peers), server.port))]

    monkeypatch.setattr(socket, 'getaddrinfo', resolved)
    monkeypatch.setattr(socket.socket, 'connect', connect)
    with pytest.raises(OSError, match='nobody there'):
        fetch(f'http://rebinding.example:{server.port}/', private=False)
    assert connected == [('8.8.8.8', server.port)]


def test_a_redirect_to_this_machine(server, monkeypatch):
    """The first name means a public address, behind which stands our server."""
    server.answers['/'] = lambda: [f'HTTP/1.1 302 X\r\nLocation: {server.url}/x\r\n\r\n'.encode()]
    real = socket.getaddrinfo

    def public(host: str, *_: object, **__: object) -> list:
        return real('127.0.0.1' if host == 'a.example' else host, server.port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, 'getaddrinfo', public)
    asked = iter([True, False])
    monkeypatch.setattr(module, 'is_public', lambda _: next(asked))
    with pytest.raises(ValueError, match=r'127\.0\.0\.1 is not a public address'):
        fetch(f'http://a.example:{server.port}/', private=False)
    assert len(server.asked) == 1


def test_one_private_address_among_public_ones(server, monkeypatch):
    peers = [(socket.AF_INET, socket.SOCK_STREAM, 6, '', (ip, server.port)) for ip in ('8.8.8.8', '127.0.0.1')]
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *_, **__: peers)
    monkeypatch.setattr(socket.socket, 'connect', lambda *_: pytest.fail('connected'))
    with pytest.raises(ValueError, match='is not a public address'):
        fetch(f'http://mixed.example:{server.port}/', private=False)


# Steps before the first byte


def test_looking_a_name_up_ends(monkeypatch):
    ended = threading.Event()
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *_, **__: ended.wait(60))
    with pytest.raises(OSError, match=r'no end after 0\.2 seconds'):
        fetch('http://slow.example/', seconds=0.2)
    ended.set()


def test_names_that_mean_nothing(monkeypatch):
    def nothing(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', nothing)
    with pytest.raises(OSError, match='Name or service not known'):
        fetch('http://nothing.example/')


def test_tls_with_one_that_only_listens(server):
    silent = socket.create_server(('127.0.0.1', 0))
    with silent, pytest.raises(OSError, match=r'no end after 0\.3 seconds|timed out'):
        fetch(f'https://127.0.0.1:{silent.getsockname()[1]}/')


def test_tls_with_one_that_speaks_plainly(server):
    server.answers['/'] = lambda: [OK + b'\r\n']
    with pytest.raises(OSError, match=r'(?i)ssl|no end|reset'):
        fetch(f'https://127.0.0.1:{server.port}/')


# Proxies


@pytest.fixture
def proxy(server, monkeypatch) -> Server:
    for name in ('no_proxy', 'NO_PROXY'):
        monkeypatch.delenv(name, raising=False)
    for name in ('http_proxy', 'https_proxy'):
        monkeypatch.setenv(name, f'http://me:se%20cret@127.0.0.1:{server.port}')
    monkeypatch.setattr(urllib.request, 'proxy_bypass', lambda host: host.startswith('direct'))
    return server


def test_a_proxy_is_asked_for_the_whole_address(proxy):
    proxy.answers['http://8.8.8.8/x?y=1'] = lambda: [OK + b'\r\nfrom the proxy']
    assert fetch('http://8.8.8.8/x?y=1', private=False) == b'from the proxy'
    known = base64.b64encode(b'me:se cret')
    assert b'Proxy-Authorization: Basic ' + known in proxy.asked[0] and b'Host: 8.8.8.8\r\n' in proxy.asked[0]


def test_a_proxy_is_not_asked_for_private_addresses(proxy):
    with pytest.raises(ValueError, match=r'10\.0\.0\.1 is not a public address'):
        fetch('http://10.0.0.1/', private=False)
    proxy.answers['http://8.8.8.8/'] = lambda: [b'HTTP/1.1 302 X\r\nLocation: http://169.254.169.254/x\r\n\r\n']
    with pytest.raises(ValueError, match=r'169\.254\.169\.254 is not a public address'):
        fetch('http://8.8.8.8/', private=False)
    assert len(proxy.asked) == 1


def test_a_proxy_that_refuses(proxy):
    proxy.answers['8.8.8.8:443'] = lambda: [b'HTTP/1.1 403 Forbidden\r\n\r\n']
    with pytest.raises(OSError, match='the proxy says 403 Forbidden') as error:
        fetch('https://8.8.8.8/', private=False)
    assert proxy.asked[0].startswith(b'CONNECT 8.8.8.8:443 HTTP/1.1\r\n') and 'cret' not in str(error.value)


def test_a_proxy_of_another_kind(proxy, monkeypatch):
    monkeypatch.setenv('http_proxy', 'socks5://me:secret@127.0.0.1:1')
    with pytest.raises(ValueError, match=r'^http_proxy names no http proxy$'):
        fetch('http://8.8.8.8/')
