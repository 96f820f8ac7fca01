"""Work that is done ahead, in threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


def ahead(work: Callable, jobs: Iterable[tuple], workers: int = 2) -> Generator[Any, None, None]:
    """``work(*job)`` of each job in turn, a few of them begun ahead in threads."""
    waiting: deque[Future] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for job in jobs:
            waiting.append(pool.submit(work, *job))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:  # who ends it early waits for what was begun, not for what was not
        pool.shutdown(cancel_futures=True)
