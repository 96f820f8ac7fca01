"""Requests that wait become one batch for the model."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

# What takes seconds is imported by whoever loads the model
if TYPE_CHECKING:
    from PIL.Image import Image

    from mgfe_ris.apis import RISInferencer


@dataclass(eq=False)
class Job:
    """A photo, yet to be decoded, and sentences about it; ``answer`` is done, or cancelled, when nobody waits for it
    any more. Its result is what ``RISResult.to_json`` says, per sentence."""

    photo: Image
    sentences: list[str]
    arrived: float
    answer: asyncio.Future[list[dict]]

    @property
    def pixels(self) -> int:
        return self.photo.width * self.photo.height

    def give(self, results: list[dict] | Exception) -> None:
        if self.answer.done():  # who asked is gone
            return
        if isinstance(results, Exception):
            self.answer.set_exception(results)
        else:
            self.answer.set_result(results)


class Batcher:
    """Computes in one thread; all else happens in the event loop, which it never holds up.

    Args:
        inferencer: whose ``batch_size`` is the most requests in a batch.
        wait: seconds for which the first request of a batch waits for others. While the model computes, requests gather
            anyway.
        max_pixels: of the photos of a batch, which are decoded together. A single photo may have more.
        observe: is told the number of requests of each batch.
    """

    def __init__(self, inferencer: RISInferencer, wait: float, max_pixels: int, observe: Callable[[int], object]):
        self.inferencer = inferencer
        self.wait = wait
        self.max_pixels = max_pixels
        self.observe = observe
        self.running: list[Job] = []
        """The batch that the model computes."""
        self._queue: deque[Job] = deque()
        self._changed = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, 'model')

    def put(self, photo: Image, sentences: list[str]) -> asyncio.Future[list[dict]]:
        """What will be found; cancel it when nobody waits for it any more.

        The future's exception is a ``ValueError`` or ``OSError`` where the photo is broken, or whatever failed.
        """
        loop = asyncio.get_running_loop()
        job = Job(photo, sentences, loop.time(), loop.create_future())
        self._queue.append(job)
        job.answer.add_done_callback(lambda answer: self._forget(job) if answer.cancelled() else None)
        self._changed.set()
        return job.answer

    def _forget(self, job: Job) -> None:
        """Photos of those who went away must not pile up behind a batch that takes long."""
        with suppress(ValueError):
            self._queue.remove(job)

    def refuse(self, error: Exception) -> None:
        """Answer all that wait, and what is computed, with an error."""
        for job in (*self._queue, *self.running):
            job.give(error)
        self._queue.clear()

    async def run(self) -> None:
        """Until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._gather(loop)
            self.running = self._take()
            if self.running:
                self.observe(len(self.running))
                await loop.run_in_executor(self._thread, self._compute, self.running, loop)
            self.running = []

    async def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until the batch is full, or its first request has waited for long enough."""
        while len(self._queue) < self.inferencer.batch_size:
            left = self._queue[0].arrived + self.wait - loop.time() if self._queue else None
            if left is not None and (left <= 0 or self.inferencer.batch_size == 1):
                return
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                return

    def _take(self) -> list[Job]:
        batch: list[Job] = []
        pixels = 0
        while self._queue and len(batch) < self.inferencer.batch_size:
            pixels += self._queue[0].pixels
            if batch and pixels > self.max_pixels:
                break
            batch.append(self._queue.popleft())
        # photos with one sentence each share a forward where they stand side by side
        return sorted(batch, key=lambda job: len(job.sentences))

    def _compute(self, jobs: list[Job], loop: asyncio.AbstractEventLoop) -> None:
        answered = 0
        try:
            with closing(self.inferencer.stream((job.photo, job.sentences) for job in jobs)) as stream:
                for found in stream:
                    results = found if isinstance(found, Exception) else [result.to_json() for result in found]
                    loop.call_soon_threadsafe(jobs[answered].give, results)
                    answered += 1
        except Exception as error:
            if len(jobs) == 1:
                logging.exception('a request failed')
                loop.call_soon_threadsafe(jobs[0].give, error)
            else:  # one of them is to blame, or their number
                for job in jobs[answered:]:
                    self._compute([job], loop)
