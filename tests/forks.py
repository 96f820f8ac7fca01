"""Several processes of one run, as forks of the tests' own, which spares the imports."""

import os
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from socket import socket


def run_forks(count: int, function: Callable[[], object], folder: Path) -> list[tuple[int, str]]:
    """Run a function in so many processes with torchrun's environment; returns status and output of each.

    In a single one, without that environment.
    """
    where = dict(WORLD_SIZE=str(count), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()))
    children = []
    for rank in range(count):
        output = folder / f'output_{count}_{rank}.txt'
        environment = dict(where, RANK=str(rank), LOCAL_RANK=str(rank)) if count > 1 else {}
        child = get_context('fork').Process(target=_in_fork, args=(function, environment, output))
        child.start()
        children.append((child, output))
    for child, _ in children:
        child.join(200)
    waiting = [child for child, _ in children if child.exitcode is None]
    for child in waiting:
        child.kill()
    assert not waiting, 'processes wait for one another'
    return [(child.exitcode, output.read_text()) for child, output in children]


def free_port() -> int:
    """One that nobody has at this moment."""
    with socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def _in_fork(function: Callable[[], object], environment: dict[str, str], output: Path) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    # pytest put its own in their place
    sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1) for n in (1, 2))
    os.environ |= environment
    function()
