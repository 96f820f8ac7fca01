"""What tests of tools share."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import run_forks

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
        name = f'experiment_name={request.node.name}_{count}'
        words = [tool, *map(str, args), *(['--cfg-options', name] if '--cfg-options' not in args else [name])]
        if count > 1:
            words += ['--launcher', 'pytorch']
        return run_forks(count, lambda: _run_tool(words, start), tmp_path)

    return run


def _run_tool(words: list[str], start: Callable[[], object]) -> None:
    sys.argv = words
    start()
    runpy.run_path(str(TOOLS / words[0]), run_name='__main__')
