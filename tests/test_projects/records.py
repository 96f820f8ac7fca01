"""What every test of a rival begins with: its project on the path, and the numbers recorded from its official code."""

import re
import runpy
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.structures import PixelData
from torch import Tensor, nn

from mgfe_ris.structures import SegDataSample

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


def keep(module: nn.Module, seen: dict, name: str, layout: Callable = lambda out: out) -> None:
    """From now on a module's output lies in ``seen`` by that name, as ``layout`` lays it out."""
    module.register_forward_hook(lambda module, inputs, out: seen.__setitem__(name, layout(out)))


def norm_of(tensors: Iterable[Tensor | None]) -> float:
    """Of all of them together; None, a gradient that is none, is left out."""
    return torch.stack([tensor.norm() for tensor in tensors if tensor is not None]).norm().item()


def official_parameters(model: nn.Module, key: str, but: str = r'relative_position_index$') -> dict[str, nn.Parameter]:
    """Our parameters by their names in what ``to_official`` gives under ``key``: numbers that are sent there in the
    place of values say which is which. Names that the pattern ``but`` finds are no parameters there."""
    state, parameters = model.state_dict(), dict(model.named_parameters())
    names = list(state)
    marked = {name: torch.full_like(value, i, dtype=torch.float64) for i, (name, value) in enumerate(state.items())}
    official = {theirs: x for theirs, x in model.to_official(marked)[key].items() if not re.search(but, theirs)}
    ours = {theirs: names[int(value.flatten()[0])] for theirs, value in official.items()}
    return {theirs: parameters[name] for theirs, name in ours.items() if name in parameters}


def batch_of(size: tuple[int, int]) -> dict:
    """What a data loader gives: two photos of (height, width), each with a sentence and a random mask."""
    sentences = ('red ring', 'a small blue ball')
    samples = [SegDataSample(metainfo=dict(sentence=sentence, img_shape=size)) for sentence in sentences]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, *size)))
    return dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples)


def official_again(monkeypatch, folder: Path) -> dict:
    """A folder of ours -> what ``mgfe2official.py`` makes of it, run in this process as its README has it."""
    out = folder.with_name(f'{folder.name}_again.pth')
    monkeypatch.setattr('sys.argv', ['mgfe2official.py', str(folder), str(out)])
    runpy.run_path(str(ROOT / 'tools/model_converters/mgfe2official.py'), run_name='__main__')
    return torch.load(out, weights_only=True)
