"""Work ahead, in threads."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mgfe_ris.apis.infer import prefetch
from mgfe_ris.apis.infer.prefetch import ahead


def test_ahead_keeps_the_order_whatever_ends_first():
    running, most, lock = 0, 0, threading.Lock()
    pauses = np.random.default_rng(0).uniform(0, 0.01, 60)

    def work(i, pause):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(pause)
        with lock:
            running -= 1
        return i, threading.current_thread()

    done = list(ahead(work, enumerate(pauses), workers=3))
    assert [i for i, _ in done] == list(range(60))
    assert most == 3 and len({thread for _, thread in done}) == 3
    assert threading.current_thread() not in {thread for _, thread in done}


def test_who_ends_early_does_not_wait_for_what_was_not_begun(monkeypatch):
    begun, gate = [], threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait: bool = True, **options) -> None:
            """What was begun ends when the rest is cancelled, however slow the machine is."""
            super().shutdown(False, **options)
            gate.set()
            super().shutdown(wait)

    def work(i):
        begun.append(i)
        assert i == 0 or gate.wait(100)
        return i

    monkeypatch.setattr(prefetch, 'ThreadPoolExecutor', Pool)
    some = ahead(work, ((i,) for i in itertools.count()), workers=2)
    assert next(some) == 0
    some.close()
    assert gate.is_set()
    assert set(begun) <= {0, 1, 2, 3}, 'of five that were asked for'
