"""A list of measurements that is worked off until the time is up: what fails is noted, and the next one runs."""

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from traceback import extract_tb
from typing import Any

import torch

from ....one_line import one_line
from ....tf32 import set_tf32, tf32_in_use


@dataclass(frozen=True)
class Item:
    """One measurement."""

    section: str
    name: str
    run: Callable[[], Mapping[str, Any]]
    """What is found, for JSON."""
    later: int = 0
    """After all whose number is smaller."""
    most: float = inf
    """Seconds, after which it is given up."""


class Skipped(Exception):
    """What cannot be measured here, and why."""


class TimeUp(BaseException):
    """No ``Exception``: what is interrupted must not take it for one of its own."""


def work_off(items: Sequence[Item], seconds: float, save: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Run the items in their order, what may come later after the others.

    Args:
        items: of all sections.
        seconds: after which what runs is given up, and what is left is left out.
        save: called with all that is known, after each item.

    Returns:
        ``rows``: of each section a list of what its items found, each with ``name`` and ``seconds``; or ``error``, a
        line, or ``skipped``, the reason. ``left_out``: of each section, names.
    """
    end = time.monotonic() + seconds
    rows: dict[str, list[dict[str, Any]]] = {item.section: [] for item in items}
    left_out: dict[str, list[str]] = {}
    report = dict(rows=rows, left_out=left_out)
    for item in sorted(items, key=lambda item: item.later):
        left = end - time.monotonic()
        if left <= 0:
            left_out.setdefault(item.section, []).append(item.name)
            continue
        row = _run(item, left)
        if row is None:
            left_out.setdefault(item.section, []).append(item.name)
        else:
            rows[item.section].append(row)
        save(report)
    save(report)
    return report


def _run(item: Item, left: float) -> dict[str, Any] | None:
    """None: there was no time left for it."""
    start = time.monotonic()
    try:
        with kept_settings(), limited(min(left, item.most)):
            found = dict(item.run())
    except Skipped as reason:
        found = dict(skipped=str(reason))
    except TimeUp:
        if left <= item.most:
            return None
        found = dict(error=f'given up after {item.most:.0f} s')
    except Exception as error:
        found = dict(error=error_line(error))
    try:
        free_memory()
    except RuntimeError as error:  # of CUDA, which after some errors answers nothing else
        found.setdefault('error', error_line(error))
    return dict(name=item.name, **found, seconds=round(time.monotonic() - start, 2))


def free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def error_line(error: Exception) -> str:
    """What is wrong, and where in our code."""
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename != __file__]
    ours = [frame for frame in frames if {'mgfe_ris', 'projects'} & set(Path(frame.filename).parts)]
    # also where it was raised, which an assertion without words does not say
    places = dict.fromkeys(f'{Path(at.filename).name}:{at.lineno}, {at.name}' for at in [*ours[-1:], *frames[-1:]])
    return f'{type(error).__name__}: {one_line(error, 300)} ({"; ".join(places)})'


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raises :class:`TimeUp` in what runs inside, after so many seconds. Where there are no alarms (Windows, other
    threads than the first), it runs to its end."""
    if not hasattr(signal, 'setitimer') or threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = signal.signal(signal.SIGALRM, _up)
    # again and again: what is raised while Python cleans up is lost
    signal.setitimer(signal.ITIMER_REAL, min(max(seconds, 0.001), 1e6), 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def _up(*_: object) -> None:
    raise TimeUp


@contextmanager
def kept_settings() -> Iterator[None]:
    """What is set inside for the process is as before after it."""
    tf32, benchmark = tf32_in_use(), torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        set_tf32(**tf32)
        torch.backends.cudnn.benchmark = benchmark
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode('default')
