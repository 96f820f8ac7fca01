"""What tests of tools share."""

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine.runner
import pytest
import torch
from forks import run_forks

TESTS = Path(__file__).parents[1]
TOOLS = Path(__file__).parents[2] / 'tools'


@pytest.fixture(autouse=True)
def settings_of_the_process(monkeypatch) -> None:
    """What training sets for its process would stay for the tests after it."""
    monkeypatch.setattr('mgfe_ris.apis.prepare_cpu', lambda: None)


@pytest.fixture(autouse=True)
def no_unpickling(monkeypatch) -> None:
    """Whatever a tool does here, what would unpickle objects raises: mmengine's loaders, and torch's where it is asked
    for more than tensors, but by a test itself."""

    def unsafe(*_: object, **__: object) -> None:
        raise AssertionError('an unpickling loader was called')

    def load(*args: object, **options: object) -> Any:
        asked_by = Path(sys._getframe(1).f_code.co_filename)
        return read(*args, **options) if options.get('weights_only') is True or TESTS in asked_by.parents else unsafe()

    read = torch.load
    monkeypatch.setattr(torch, 'load', load)
    for name in ('load_checkpoint', '_load_checkpoint', '_load_checkpoint_with_prefix'):
        monkeypatch.setattr(mmengine.runner.checkpoint, name, unsafe)
    monkeypatch.setattr(mmengine.runner, 'load_checkpoint', unsafe)
    monkeypatch.setattr(mmengine.runner.runner, '_load_checkpoint', unsafe)
    monkeypatch.setattr(mmengine.runner.CheckpointLoader, 'load_checkpoint', unsafe)


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
