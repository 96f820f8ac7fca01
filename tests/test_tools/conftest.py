"""What tests of tools share."""

import runpy
import sys
from pathlib import Path

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
