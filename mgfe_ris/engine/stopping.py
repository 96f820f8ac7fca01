"""Trainings that are asked to stop: by Ctrl-C, by ``kill``, or by a cluster that wants its machine back."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

import torch
from mmengine.dist import get_world_size
from torch.utils.data import DataLoader

SIGNALS = [getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGUSR1', 'SIGHUP') if hasattr(signal, name)]
"""SLURM sends SIGTERM, and SIGUSR1 where a job asks for ``--signal=USR1@60``."""
ECHO = 2.0
"""Seconds in which a second signal counts as the first one: ``torchrun`` and ``timeout`` pass on what reaches their
processes, too."""


class Stopped(KeyboardInterrupt):
    """A training ends before its time, since a signal asked for it.

    Args:
        signum: the signal.

    Attributes:
        saved: the file to go on from, where one was written for it.
    """

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum
        self.saved: str | None = None


class StopRequest:
    """Whether a signal has asked the training to stop; it stops where nothing is lost.

    In a training's steps a signal is noted, and all processes of a training stop after the same step. Else, and where
    a second signal comes, it raises :class:`Stopped` at once.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._waits = False
        self._agreed = False
        self._time = 0.0
        self._work: Any = None
        self._flag = torch.zeros(1, dtype=torch.int64)

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Take the signals; those that whoever started the process has it ignore stay ignored."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        taken = [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]
        before = {signum: signal.signal(signum, self._handle) for signum in taken}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum, self._time = signum, time.monotonic()
            if not self._waits:
                raise Stopped(signum)
        elif time.monotonic() - self._time > ECHO:
            raise Stopped(signum)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Signals are noted, for :meth:`agreed` to tell."""
        self._waits = True
        try:
            yield
            if self._work is not None:
                self._work.wait()
                self._work = None
        finally:
            self._waits = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Where nothing is at work that a signal could break: it raises :class:`Stopped`, also if it came before.

        With several processes it is noted all the same, for they stop together.
        """
        if get_world_size() > 1:
            yield
            return
        self._waits = False
        try:
            if self.signum is not None:
                raise Stopped(self.signum)
            yield
        finally:
            self._waits = True

    def agreed(self) -> bool:
        """Whether to stop now. All processes ask at the same places, and get the same answer.

        With several, what was asked for at one place is answered at the next: so nobody waits for the answer.
        """
        if get_world_size() == 1:
            return self.signum is not None
        if self._agreed:
            return True
        if self._work is not None:
            self._work.wait()
            if self._flag.item():
                self._agreed, self._work, self.signum = True, None, int(self._flag.item())
                return True
        self._flag.fill_(self.signum or 0)
        self._work = torch.distributed.all_reduce(
            self._flag, torch.distributed.ReduceOp.MAX, self._on_cpu, async_op=True
        )
        return False

    @cached_property
    def _on_cpu(self) -> Any:
        """A group of all processes beside NCCL's, for which the CPU would have to wait for the GPU."""
        return torch.distributed.new_group(backend='gloo')

    def least(self, number: int) -> int:
        """The least of the numbers of all processes; each must ask."""
        if get_world_size() == 1 or self._agreed:
            return number
        if self._work is not None:
            self._work.wait()  # what it tells is read later
        found = torch.tensor(number)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MIN, self._on_cpu)
        return int(found)


def keep_workers(loader: DataLoader) -> None:
    """Have the workers of a loader stay until the main process ends them: what asks it to stop often reaches them, too,
    and without them it could not finish what it is at. They go with it, whatever ends it."""
    loader.worker_init_fn = _BeginWorker(loader.worker_init_fn)
    # Python asks its children, when it ends, with a signal that they do not hear, and waits; this comes before
    Finalize(None, end_workers, exitpriority=100)


class _BeginWorker:
    """What a worker does first.

    Args:
        then: what comes next.
    """

    def __init__(self, then: Callable[[int], None] | None):
        self.then = then

    def __call__(self, worker: int) -> None:
        """``worker``: its number."""
        for signum in SIGNALS:
            signal.signal(signum, signal.SIG_IGN)
        if sys.platform == 'linux':
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        parent = multiprocessing.parent_process()
        if parent is not None and os.getppid() != parent.pid:
            os._exit(0)  # it is gone already
        if self.then is not None:
            self.then(worker)


_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of sys/prctl.h


def end_workers() -> None:
    """End the workers of all loaders of this process."""
    workers = [child for child in multiprocessing.active_children() if child.daemon]
    if workers and hasattr(signal, 'SIGCHLD') and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch would report them as failed
    for child in workers:
        child.kill()
    for child in workers:
        child.join()
