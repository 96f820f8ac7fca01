"""What every test of a rival begins with: its project on the path, and the numbers recorded from its official code."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared/fixtures'


def record_of(*systems: str) -> Callable:
    """A fixture: each of ``../shared/fixtures/<system>*.pt``; skips where there is none."""
    paths = [path for system in systems for path in sorted(SHARED.glob(f'{system}*.pt'))]

    @pytest.fixture(scope='module', params=paths or [None], ids=lambda path: path.stem if path else 'none')
    def record(request) -> dict:
        if request.param is None:
            pytest.skip(f'no recorded numbers of {" or ".join(systems)} in {SHARED}')
        return torch.load(request.param, weights_only=True)

    return record


def project_of(system: str, autouse: bool = False) -> Callable:
    """A fixture: the folder of a project, from which modules can be imported in this test."""

    @pytest.fixture(autouse=autouse)
    def project(monkeypatch) -> Iterator[Path]:
        monkeypatch.syspath_prepend(ROOT / 'projects' / system)
        yield ROOT / 'projects' / system

    return project


def official_again(monkeypatch, folder: Path) -> dict:
    """A folder of ours -> what ``mgfe2official.py`` makes of it, run in this process as its README has it."""
    out = folder.with_name(f'{folder.name}_again.pth')
    monkeypatch.setattr('sys.argv', ['mgfe2official.py', str(folder), str(out)])
    runpy.run_path(str(ROOT / 'tools/model_converters/mgfe2official.py'), run_name='__main__')
    return torch.load(out, weights_only=True)
