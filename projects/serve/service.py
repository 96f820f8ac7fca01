"""The routes of the server, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from socket import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from batcher import Batcher
from metrics import Metrics
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from upload import READERS, body_kind, body_parts
from uvicorn.protocols.http.h11_impl import H11Protocol

from mgfe_ris.apis.export.model_card import origin
from mgfe_ris.apis.infer.serving import (
    MAX_BYTES,
    MAX_SCORES,
    MAX_WAITING,
    TooLarge,
    UnknownFormat,
    check_asked,
    open_upload,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from mgfe_ris.apis import RISInferencer

HEAD_SECONDS, BODY_SECONDS, ANSWER_SECONDS, SEND_SECONDS = 10, 30, 60, 30
"""In which a client must have sent the head of a request, and its body; in which it gets its masks; and for which it
may read nothing of what it asked for."""
LINGER_SECONDS, LINGER_BYTES = 2, 25_000_000
"""For which a client that was refused may go on sending: cut off at once, it might not read why."""
MAX_HELD = MAX_WAITING * MAX_BYTES
"""Bytes of all photos that are sent, or wait, however many requests may."""


class Service:
    """An ASGI application.

    Args:
        inferencer: its ``batch_size`` is the most requests that are computed together.
        wait: seconds for which a request waits for others.
        max_waiting: requests that are being sent, or wait for the model; further ones are refused.
    """

    def __init__(self, inferencer: RISInferencer, wait: float, max_waiting: int):
        self.max_waiting = max_waiting
        self.about = {'model': origin(inferencer.model.cfg)['name'], 'fingerprint': inferencer.fingerprint()}
        self.metrics = Metrics(lambda: self.waiting)
        self.batcher = Batcher(inferencer, wait, MAX_SCORES, self.metrics.batches.observe)
        self.ending = False
        self._inside = 0
        self._held = 0
        self._aside = ThreadPoolExecutor(1, 'photos')  # headers of photos, and JSON
        self._app = Starlette(
            routes=[
                Route('/segment', self._segment, methods=['POST']),
                Route('/health', self._health),
                Route('/metrics', self._metrics),
            ],
            exception_handlers={HTTPException: _refuse, ClientDisconnect: _nobody, Exception: _failed},
            lifespan=self._lifespan,
        )

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        if scope['type'] != 'http' or scope['path'] != '/segment':
            return await self._app(scope, receive, send)
        begin = time.perf_counter()

        async def counted(message: Any) -> None:
            if message['type'] == 'http.response.start':
                self.metrics.requests.labels(message['status']).inc()
                if message['status'] == 200:
                    self.metrics.seconds.observe(time.perf_counter() - begin)
            await send(message)

        await self._app(scope, receive, counted)

    @property
    def waiting(self) -> int:
        """Requests that are being sent, or wait for the model."""
        return max(0, self._inside - len(self.batcher.running))

    async def _health(self, _: Request) -> Response:
        # who reaches it finds a model that has run
        return JSONResponse({'status': 'ending' if self.ending else 'ready', **self.about}, 503 if self.ending else 200)

    async def _metrics(self, _: Request) -> Response:
        return Response(bytes(self.metrics), media_type='text/plain; version=0.0.4')

    async def _segment(self, request: Request) -> Response:
        with self._place() as count:
            photo, sentences = await self._read(request, count)
            results = await self._answer(request, photo, sentences)
        self.metrics.sentences.inc(len(results))
        # the photo has no name
        results = [{key: value for key, value in result.items() if key != 'photo'} for result in results]
        return JSONResponse({'results': results})

    @contextmanager
    def _place(self) -> Iterator[Callable[[int], None]]:
        """Among those that wait, from the first byte on; it is left whatever happens. Yields what counts the bytes."""
        if self.ending:
            raise HTTPException(503, 'the server is ending', {'Retry-After': '10'})
        if self.waiting >= self.max_waiting:
            raise HTTPException(503, f'{self.max_waiting} requests are waiting', {'Retry-After': '1'})
        held = 0

        def count(size: int) -> None:
            nonlocal held
            if self._held + size > MAX_HELD:
                raise HTTPException(503, f'{MAX_HELD:,} bytes of photos are waiting', {'Retry-After': '1'})
            held += size
            self._held += size

        self._inside += 1
        try:
            yield count
        finally:
            self._inside -= 1
            self._held -= held

    async def _read(self, request: Request, count: Callable[[int], None]) -> tuple[Image, list[str]]:
        kind = body_kind(request)
        reading = READERS[kind](request, body_parts(request, kind, count), self._in_thread)
        try:
            data, sentences = await asyncio.wait_for(reading, BODY_SECONDS)
        except asyncio.TimeoutError as error:
            raise HTTPException(408, f'the request was not there after {BODY_SECONDS} seconds') from error
        try:
            asked = check_asked(sentences)
            return await self._in_thread(open_upload, data, len(asked)), asked
        except ValueError as error:
            status = 413 if isinstance(error, TooLarge) else 415 if isinstance(error, UnknownFormat) else 422
            raise HTTPException(status, str(error)) from error

    async def _in_thread(self, work: Callable, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._aside, work, *args)

    async def _answer(self, request: Request, photo: Image, sentences: list[str]) -> list[dict]:
        answer = self.batcher.put(photo, sentences)
        gone = asyncio.ensure_future(_until_gone(request))
        try:
            done, _ = await asyncio.wait({answer, gone}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if answer in done:
                return answer.result()
            if gone in done:
                raise ClientDisconnect
            raise HTTPException(504, f'no masks after {ANSWER_SECONDS} seconds', {'Retry-After': '10'})
        except (OSError, ValueError) as error:  # found when the photo was decoded
            raise HTTPException(422, str(error)) from error
        finally:
            gone.cancel()
            answer.cancel()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        running = asyncio.ensure_future(self.batcher.run())
        yield
        running.cancel()

    def end(self, after: float) -> None:
        """Refuse what is new at once, and ``after`` so many seconds what is not done yet."""
        self.ending = True
        error = HTTPException(503, 'the server is ending', {'Retry-After': '10'})
        asyncio.get_running_loop().call_later(after, self.batcher.refuse, error)


# Starlette gives each handler that is no coroutine to a thread
async def _refuse(_: Request, error: Any) -> Response:
    return Refusal(error.status_code, error.detail, error.headers)


async def _nobody(*_: Any) -> Response:
    return Response(status_code=499)  # for the metrics alone


async def _failed(*_: Any) -> Response:
    return Refusal(500, 'the server failed; its log says where')


async def _until_gone(request: Request) -> None:
    while (await request.receive())['type'] != 'http.disconnect':
        pass


class Refusal(JSONResponse):
    """``{"error": MESSAGE}``. What is left of the body is read for a moment, and thrown away."""

    def __init__(self, status: int, message: str, headers: Any = None):
        super().__init__({'error': message}, status, headers)

    async def __call__(self, scope: Any, receive: Callable, send: Callable) -> None:
        if scope.get('body_ended'):
            return await super().__call__(scope, receive, send)
        head = [*self.raw_headers, (b'connection', b'close')]
        await send({'type': 'http.response.start', 'status': self.status_code, 'headers': head})
        await send({'type': 'http.response.body', 'body': self.body, 'more_body': True})
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_until_ended(receive), LINGER_SECONDS)
        await send({'type': 'http.response.body', 'body': b'', 'more_body': False})


async def _until_ended(receive: Callable) -> None:
    total, more = 0, True
    while more and total < LINGER_BYTES:
        message = await receive()
        total += len(message.get('body', b''))
        more = message.get('more_body', False)


class PatientProtocol(H11Protocol):
    """uvicorn waits for a request's head as long as a client sends a letter now and then, and for ever for one that
    does not read."""

    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread:
            self._unread.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._head, self._unread):
            if timer:  # it would keep the connection's memory for as long
                timer.cancel()

    def _expect_head(self) -> None:
        if self._head:
            self._head.cancel()
        self._head = self.loop.call_later(HEAD_SECONDS, self._close_unless_asked, self.cycle)

    def _close_unless_asked(self, before: Any) -> None:
        if self.cycle is before:
            self.transport.close()


class ServiceServer(uvicorn.Server):
    """Ends by a signal, in so many seconds and two more."""

    def __init__(self, service: Service, seconds: float):
        super().__init__(
            uvicorn.Config(
                service, http=PatientProtocol, ws='none', loop='asyncio', lifespan='on',
                log_level='warning', access_log=False, proxy_headers=False, server_header=False,
                timeout_graceful_shutdown=int(seconds) + 2,
                log_config=None,  # its own closes every file that other loggers write to
            )
        )  # fmt: skip
        self.service = service
        self.seconds = seconds

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        self.service.end(self.seconds)
        await super().shutdown(sockets)
