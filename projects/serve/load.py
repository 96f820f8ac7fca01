"""Send many requests to a server, and print how long they took and what the server's process became.

Examples:
    python projects/serve/load.py data/try/images/refshapes                       # 1,000 requests at once, three times
    python projects/serve/load.py data/try/images/refshapes --at-once 1           # one after another
"""

import argparse
import asyncio
import json
import resource
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

SHOWN = {
    'process_resident_memory_bytes': 'bytes of memory',
    'process_open_fds': 'descriptors',
    'mgfe_ris_threads': 'threads',
}


class Answer(NamedTuple):
    """Status and seconds of a request; ``begin`` and ``end`` of the clock."""

    status: int
    body: bytes
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def build_request(photo: bytes, sentences: list[str]) -> bytes:
    """What curl would send, as a whole."""
    part = '--load\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    body = part.format('photo', '; filename="photo"').encode() + photo + b'\r\n'
    for text in sentences:
        body += f'{part.format("sentences", "")}{text}\r\n'.encode()
    body += b'--load--\r\n'
    head = (
        'POST /segment HTTP/1.1\r\nHost: load\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=load'
    )
    return f'{head}\r\nContent-Length: {len(body)}\r\n\r\n'.encode() + body


async def ask(host: str, port: int, request: bytes) -> Answer:
    """On a connection of its own, which is part of the time."""
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        head, _, body = (await reader.read()).partition(b'\r\n\r\n')
        return Answer(int(head.split()[1]), body, begin, time.perf_counter())
    finally:
        writer.close()


async def ask_all(host: str, port: int, requests: list[bytes], at_once: int) -> list[Answer]:
    """In turn, so many at a time."""
    free = asyncio.Semaphore(at_once)

    async def ask_one(request: bytes) -> Answer:
        async with free:
            return await ask(host, port, request)

    return await asyncio.gather(*map(ask_one, requests))


def summary(answers: list[Answer]) -> list[str]:
    """A line for each status."""
    lines = []
    for status, number in sorted(Counter(answer.status for answer in answers).items()):
        found = [answer for answer in answers if answer.status == status]
        seconds = max(answer.end for answer in found) - min(answer.begin for answer in found)
        percent = (
            quantiles([answer.seconds for answer in found], n=100, method='inclusive') if number > 1 else [seconds] * 99
        )
        lines.append(
            f'{number} x {status} in {seconds:.2f} s: {number / seconds:.1f} a second, '
            f'p50 {percent[49]:.3f} s, p99 {percent[98]:.3f} s'
        )
    return lines


def masks(answers: list[Answer]) -> str:
    """Of all that were answered; the same where all masks are."""
    found = [result['rle'] for one in answers if one.status == 200 for result in json.loads(one.body)['results']]
    return f'{len(found)} masks {zlib.crc32(json.dumps(found).encode()):08x}'


def process(url: str) -> str:
    """What ``/metrics`` says of the server's process."""
    with urlopen(f'{url}/metrics') as answer:
        lines = dict(line.rsplit(' ', 1) for line in answer.read().decode().splitlines() if line[0] != '#')
    return ', '.join(f'{float(lines[name]):,.0f} {words}' for name, words in SHOWN.items() if name in lines)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('photos', type=Path, help='a photo, or a folder of them, which are sent in turn')
    parser.add_argument('--sentences', nargs='+', default=['the red circle'], help='about each photo')
    parser.add_argument('--url', default='http://127.0.0.1:8000')
    parser.add_argument('--requests', type=int, default=1000, help='in a round')
    parser.add_argument('--at-once', type=int, default=1000)
    parser.add_argument('--rounds', type=int, default=3)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    files = sorted(path for path in args.photos.iterdir() if path.is_file()) if args.photos.is_dir() else [args.photos]
    if not files:
        sys.exit(f'error: {args.photos}: no photos')
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection each
    address = urlsplit(args.url)
    requests = [build_request(files[i % len(files)].read_bytes(), args.sentences) for i in range(args.requests)]
    print(f'before: {process(args.url)}', flush=True)
    for i in range(1, args.rounds + 1):
        answers = asyncio.run(ask_all(address.hostname, address.port, requests, args.at_once))
        for line in (*summary(answers), masks(answers)):
            print(f'round {i}: {line}')
        print(f'after it: {process(args.url)}', flush=True)


if __name__ == '__main__':
    main()
