"""Files of http(s) addresses. One deadline and one limit of bytes hold for all that their servers do and send."""

import base64
import io
import socket
import ssl
import string
import threading
import time
import urllib.request
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, BinaryIO
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit, urlunsplit

from .one_line import one_line
from .version import __version__

_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_NAT64 = IPv6Network('64:ff9b::/96')


def is_address(name: str) -> bool:
    """Of something to be downloaded; anything else is the name of a file."""
    return name.lower().startswith(('http://', 'https://'))


def download(
    address: str, out: BinaryIO, max_bytes: int, seconds: float, silence: float, private_addresses: bool = True
) -> None:
    """Write what an address gives into a file.

    Through the proxy that ``http_proxy`` and ``https_proxy`` name, if they do; it then looks names up and connects, and
    should guard its network itself: here, only what names mean on this machine is compared.

    Args:
        address: ``http`` or ``https``; redirects are followed, without reading what comes with them.
        out: what was written before an error stays in it.
        max_bytes: headers and redirects count, too.
        seconds: from looking the name up to the last byte.
        silence: seconds for which nothing may come.
        private_addresses: whether to connect to this machine, its network, and what else is not public.

    Raises:
        OSError: nothing to be had there, or not in time.
        ValueError: not an address, more than ``max_bytes``, or a private address.
    """
    budget = _Budget(max_bytes, seconds, silence)
    try:
        for _ in range(_REDIRECTS + 1):
            url = _parsed(address)
            with closing(_connected(url, budget, private_addresses)) as line:
                answer = _asked(url, line, budget)
                if answer.status in _MOVED and (place := answer.getheader('Location')):
                    # http.client reads headers as Latin-1
                    address = urljoin(address, quote(place, string.punctuation, encoding='iso-8859-1'))
                    continue
                return _copy(answer, out, max_bytes)
        raise OSError(f'more than {_REDIRECTS} redirects')
    except HTTPException as error:
        raise OSError(f'no answer in HTTP: {type(error).__name__} {one_line(error, 100)}') from error


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open network, by what it embeds where it stands for another one."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


class _Budget:
    """Bytes and seconds that are left."""

    def __init__(self, max_bytes: int, seconds: float, silence: float):
        self.max_bytes, self.seconds, self.silence = max_bytes, seconds, silence
        self.count = 0
        self.end = time.monotonic() + seconds

    def wait(self) -> float:
        """For how many seconds the next step may wait; raises TimeoutError after the end."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f'no end after {self.seconds:g} seconds')
        return min(left, self.silence)

    def timed_out(self) -> TimeoutError:
        """What to raise after a wait in which nothing came."""
        self.wait()
        return TimeoutError(f'nothing came for {self.silence:g} seconds')

    def take(self, count: int) -> None:
        self.count += count
        if self.count > self.max_bytes:
            raise ValueError(f'more than {self.max_bytes:,} bytes')


class _Line:
    """A socket, as http.client uses one, with a budget."""

    def __init__(self, sock: socket.socket, budget: _Budget):
        self.sock, self.budget = sock, budget

    def sendall(self, data: bytes) -> None:
        self.sock.settimeout(self.budget.wait())
        self.sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Received(self.sock, self.budget))

    def close(self) -> None:
        """Not yet: http.client lets go of it with the answer still to be read."""


class _Received(io.RawIOBase):
    """Headers, too, are read through it: each wait for the network is as long as the budget allows."""

    def __init__(self, sock: socket.socket, budget: _Budget):
        self.sock, self.budget = sock, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self.sock.settimeout(self.budget.wait())
        try:
            count = self.sock.recv_into(buffer)
        except TimeoutError as error:
            raise self.budget.timed_out() from error
        self.budget.take(count)
        return count


def _parsed(address: str) -> SplitResult:
    url = urlsplit(address)
    if url.scheme not in ('http', 'https'):
        raise ValueError(f'it leads to {address[:100]!r}, which is no http address')
    if not url.hostname:
        raise ValueError('no host')
    if '@' in url.netloc:
        raise ValueError('addresses with a user or a password are not read')
    return url


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == 'https' else 80)


def _connected(url: SplitResult, budget: _Budget, private_addresses: bool) -> socket.socket:
    """To the host, or to the proxy, which was told the host where the line is to be encrypted."""
    host = str(url.hostname)
    proxy = _proxy_for(url)
    if proxy is None:
        sock = _open(_resolved(host, _port(url), budget, private_addresses), budget)
    else:
        if not private_addresses:
            _compare_behind_proxy(host, _port(url), budget)
        sock = _open(_resolved(str(proxy.hostname), _port(proxy), budget, private_addresses=True), budget)
    try:
        if url.scheme == 'https':
            if proxy is not None:
                _tunnel(sock, url, proxy, budget)
            sock.settimeout(budget.wait())
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        return sock
    except BaseException:
        sock.close()
        raise


def _resolved(host: str, port: int, budget: _Budget, private_addresses: bool) -> list[tuple]:
    """What the host's name means, looked up once: what is compared here is what is connected to."""
    found: Future = Future()

    def look_up() -> None:
        try:
            found.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except Exception as error:
            found.set_exception(error)

    # it knows no deadline: in a thread that is left behind
    threading.Thread(target=look_up, daemon=True).start()
    try:
        peers = found.result(budget.wait())
    except FutureTimeoutError as error:
        raise budget.timed_out() from error
    for *_, peer in peers:
        if not private_addresses and not is_public(peer[0]):
            raise ValueError(
                f'{peer[0]} is not a public address; those are read with private_addresses=True, or '
                '--private-addresses of tools/infer.py'
            )
    return peers


def _compare_behind_proxy(host: str, port: int, budget: _Budget) -> None:
    """Numbers, and names that mean something here; others are the proxy's to look up."""
    try:
        _resolved(host, port, budget, private_addresses=False)
    except OSError:
        budget.wait()


def _open(peers: list[tuple], budget: _Budget) -> socket.socket:
    """A connection to the first of the peers that answers."""
    failed: OSError | None = None
    for family, kind, protocol, _, peer in peers:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(budget.wait())
            sock.connect(peer)
            return sock
        except OSError as error:
            sock.close()
            budget.wait()
            failed = error
    raise failed or OSError('its name means no address')


def _proxy_for(url: SplitResult) -> SplitResult | None:
    named = urllib.request.getproxies().get(url.scheme)
    if not named or urllib.request.proxy_bypass(url.netloc):
        return None
    proxy = urlsplit(named if '://' in named else f'http://{named}')
    if proxy.scheme != 'http' or not proxy.hostname:
        raise ValueError(f'{url.scheme}_proxy names no http proxy')  # not which: it may hold a password
    return proxy


def _tunnel(sock: socket.socket, url: SplitResult, proxy: SplitResult, budget: _Budget) -> None:
    name = f'[{url.hostname}]' if ':' in str(url.hostname) else str(url.hostname)
    place = f'{name.encode("idna").decode()}:{_port(url)}'
    answer = _answer(_Line(sock, budget), 'CONNECT', place, {'Host': place, **_to_proxy(proxy)})
    if answer.status != 200:
        raise OSError(f'the proxy says {answer.status} {answer.reason[:100]}')


def _to_proxy(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    known = f'{unquote(proxy.username)}:{unquote(proxy.password or "")}'
    return {'Proxy-Authorization': f'Basic {base64.b64encode(known.encode()).decode()}'}


def _asked(url: SplitResult, sock: socket.socket, budget: _Budget) -> HTTPResponse:
    # what browsers do with letters that addresses may not have
    path = quote(urlunsplit(('', '', url.path or '/', url.query, '')), string.punctuation)
    host = url.netloc.encode('idna').decode() if not url.netloc.isascii() else url.netloc
    headers = {'Host': host, 'User-Agent': f'mgfe-ris/{__version__}', 'Connection': 'close'}
    proxy = _proxy_for(url)
    if proxy is not None and url.scheme == 'http':
        path, headers = f'http://{host}{path}', {**headers, **_to_proxy(proxy)}
    return _answer(_Line(sock, budget), 'GET', path, headers)


def _answer(line: _Line, method: str, place: str, headers: dict[str, str]) -> HTTPResponse:
    connection = HTTPConnection('unused')  # it has its line
    connection.sock = line
    connection.request(method, place, headers=headers)
    return connection.getresponse()


def _copy(answer: HTTPResponse, out: BinaryIO, max_bytes: int) -> None:
    if answer.status != 200:
        raise OSError(f'{answer.status} {answer.reason[:100]}')
    if (form := answer.getheader('Content-Encoding', 'identity')) != 'identity':
        raise OSError(f'it is compressed ({form[:20]}), which was not asked for')
    if (answer.length or 0) > max_bytes:
        raise ValueError(f'it has {answer.length:,} bytes, more than {max_bytes:,}')
    while part := answer.read1(1 << 16):
        out.write(part)
    if answer.length:
        raise OSError(f'it broke off, {answer.length:,} bytes before its end')
