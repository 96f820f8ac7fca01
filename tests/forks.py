"""Several processes of one run, as forks of the tests' own, which spares the imports."""

import os
import runpy
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory
from types import SimpleNamespace


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


def run_tool_in_fork(tool: Path, *args: object) -> SimpleNamespace:
    """A script as a user starts it in the repository, but for its imports -> ``returncode``, ``stdout``, ``stderr``."""
    with TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ('stdout', 'stderr')]
        child = get_context('fork').Process(target=_run_tool, args=([str(tool), *map(str, args)], outputs))
        child.start()
        child.join(200)
        if child.exitcode is None:
            child.kill()
        stdout, stderr = (path.read_text() if path.exists() else '' for path in outputs)
        return SimpleNamespace(returncode=child.exitcode, stdout=stdout, stderr=stderr)


def _run_tool(words: list[str], outputs: list[Path]) -> None:
    import torch

    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1) for n in (1, 2))  # pytest put its own in their place
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    root = Path(__file__).parents[1]
    os.chdir(root)
    os.environ |= dict(PYTHONPATH=str(root), OMP_NUM_THREADS='1')  # for the processes that it starts
    sys.argv = words
    runpy.run_path(words[0], run_name='__main__')


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
