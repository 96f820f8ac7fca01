"""What tests of tools share."""

import os
import runpy
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from socket import socket

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(autouse=True)
def settings_of_the_process(monkeypatch) -> None:
    """What training sets for its process would stay for the tests after it."""
    monkeypatch.setattr('mgfe_ris.apis.prepare_cpu', lambda: None)


@pytest.fixture
def run_here(monkeypatch, request, one_thread, capfd):
    """Runs a tool in this process; returns the lines that it printed."""
    name = f'experiment_name={request.node.name}'  # mmengine shares what has the same name and second

    def run_tool(tool: str, *args: object) -> list[str]:
        named = [*args, name] if tool == 'test.py' and '--cfg-options' in args else args
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, named)])
        capfd.readouterr()
        runpy.run_path(str(TOOLS / tool), run_name='__main__')
        return capfd.readouterr().out.splitlines()

    return run_tool


@pytest.fixture
def run_processes(one_thread, tmp_path, request):
    """Runs a tool in so many processes that torchrun might have started, forks of this one, which spares the imports.

    Returns status and output of each.
    """

    def run(count: int, tool: str, *args: object, start: Callable[[], object] = lambda: None) -> list[tuple[int, str]]:
        port, name = free_port(), f'experiment_name={request.node.name}_{count}'
        words = [tool, *map(str, args), *(['--cfg-options', name] if '--cfg-options' not in args else [name])]
        if count > 1:
            words += ['--launcher', 'pytorch']
        where = dict(WORLD_SIZE=str(count), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        children = []
        for rank in range(count):
            output = tmp_path / f'output_{count}_{rank}.txt'
            ranks = dict(where, RANK=str(rank), LOCAL_RANK=str(rank)) if count > 1 else {}
            child = get_context('fork').Process(target=_run_in_fork, args=(words, ranks, output, start))
            child.start()
            children.append((child, output))
        for child, _ in children:
            child.join(120)
        assert all(child.exitcode is not None for child, _ in children), 'processes wait for one another'
        return [(child.exitcode, output.read_text()) for child, output in children]

    return run


def free_port() -> int:
    with socket() as one:
        one.bind(('127.0.0.1', 0))
        return one.getsockname()[1]


def _run_in_fork(words: list[str], environment: dict[str, str], output: Path, start: Callable[[], object]) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    # pytest put its own in their place
    sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1) for n in (1, 2))
    os.environ |= environment
    sys.argv = words
    start()
    runpy.run_path(str(TOOLS / words[0]), run_name='__main__')
