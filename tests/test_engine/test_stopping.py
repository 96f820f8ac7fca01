"""Signals, and processes that stop together."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from socket import socket

import pytest
import torch

from mgfe_ris.engine import stopping
from mgfe_ris.engine.stopping import Stopped, StopRequest


def kill(signum: int = signal.SIGTERM) -> None:
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_signals_are_noted_in_steps_and_raise_elsewhere(signum):
    before = signal.getsignal(signum)
    request = StopRequest()
    with request.watch(), request.noted():
        assert not request.agreed()
        kill(signum)
        assert request.agreed() and request.signum == signum
        with pytest.raises(Stopped, match=str(int(signum))), request.at_once():
            pytest.fail('it does not wait for the batch')
    assert signal.getsignal(signum) == before
    with request.watch(), pytest.raises(KeyboardInterrupt):
        request.signum = None
        kill(signum)


def test_a_second_signal_ends_at_once_but_not_the_echo_of_the_first(monkeypatch):
    request = StopRequest()
    now = [100.0]
    monkeypatch.setattr(stopping.time, 'monotonic', lambda: now[0])
    with request.watch(), request.noted():
        kill(signal.SIGINT)
        now[0] += stopping.ECHO / 2
        kill(signal.SIGTERM)
        now[0] += stopping.ECHO
        with pytest.raises(Stopped) as ended:
            kill(signal.SIGTERM)
    assert ended.value.signum == signal.SIGTERM


def test_signals_that_the_process_is_to_ignore_stay_ignored():
    """As ``nohup`` has it of SIGHUP, and a shell of SIGINT behind ``&``."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        request = StopRequest()
        with request.watch(), request.noted():
            kill(signal.SIGHUP)
            assert not request.agreed()
    finally:
        signal.signal(signal.SIGHUP, before)


def in_processes(count: int, work: Callable[[int, Path], None], folder: Path) -> list:
    """What each of them saved."""
    with socket() as one:
        one.bind(('127.0.0.1', 0))
        port = one.getsockname()[1]
    children = [
        get_context('fork').Process(target=_meet, args=(rank, count, port, work, folder)) for rank in range(count)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
        child.kill()
    assert [child.exitcode for child in children] == [0] * count
    return [torch.load(folder / f'{rank}.pth') for rank in range(count)]


def _meet(rank: int, count: int, port: int, work: Callable[[int, Path], None], folder: Path) -> None:
    where = f'tcp://127.0.0.1:{port}'
    torch.distributed.init_process_group('gloo', init_method=where, rank=rank, world_size=count)
    work(rank, folder)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def stop_together(rank: int, folder: Path) -> None:
    """Steps and batches of a validation, of which the second process has more; it alone gets a signal."""
    request, found = StopRequest(), []
    with request.watch(), request.noted():
        for step in range(6):
            if rank == 1 and step == 3:
                kill()
            found.append(('step', step, request.agreed()))
            least = request.least(2 + rank)
            found += [('batch', least, request.agreed()) for _ in range(least)]
            if found[-1][-1]:
                break
    torch.save([found, int(request.signum or 0)], folder / f'{rank}.pth')


def test_processes_stop_at_the_same_place(one_thread, tmp_path):
    (first, signum), (second, _) = in_processes(2, stop_together, tmp_path)
    assert first == second and signum == signal.SIGTERM, 'the first one did not get it'
    asked = [place[:2] for place in first if place[-1]]
    assert asked[0] == ('batch', 2) and first.index((*asked[0], True)) == 3 * 3 + 1, 'one place after the signal'
