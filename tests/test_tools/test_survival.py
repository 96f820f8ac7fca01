"""Trainings that are killed or asked to stop, at any step: resumed, they end as one that was left alone, bit by bit."""

import os
import random
import re
import runpy
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

REPO = Path(__file__).parents[2]
TRAIN = REPO / 'tools/train.py'
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
STEPS, VALIDATED = 6, 2
"""Of an epoch: steps of training, and batches of the validation."""

Trouble = Callable[[], object]
"""What is done in the process of a training before it starts."""


@pytest.fixture(scope='module')
def options(refshapes, small_model) -> list[str]:
    """The published config, made small: what it says of hooks, workers and schedule stays."""
    settings = {**small_model, 'data_root': refshapes, 'train_cfg.max_epochs': 2, 'param_scheduler.1.end': 2}
    settings |= {'train_dataloader.batch_size': 4, 'train_dataloader.dataset.indices': 4 * STEPS + 2}
    settings |= {'val_dataloader.batch_size': 4, 'val_dataloader.dataset.indices': 4 * VALIDATED}
    settings['param_scheduler.0.end'] = 3  # the warm-up: both schedules are at work
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return ['--cfg-options', *(f'{key}={value}' for key, value in texts.items())]


def train(folder: Path, options: list[str], trouble: Trouble = lambda: None) -> tuple[int, str]:
    """In a fork of this process, which spares the imports -> its status, and what it said.

    It is resumed, if there is something to resume.
    """
    folder.mkdir(exist_ok=True)
    output = folder.parent / f'{folder.name}_{len(list(folder.parent.glob(folder.name + "_*")))}.txt'
    arguments = ['train.py', str(TINY), '--work-dir', str(folder), '--resume', *options]
    child = get_context('fork').Process(target=_train_here, args=(arguments, output, trouble))
    child.start()
    child.join(60)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode is not None, output.read_text()[-3000:]
    return child.exitcode, output.read_text()


def _train_here(arguments: list[str], output: Path, trouble: Trouble) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1) for n in (1, 2))  # pytest put its own in their place
    sys.argv = arguments
    torch.set_num_threads(1)
    trouble()
    runpy.run_path(str(TRAIN), run_name='__main__')


def at(name: str, call: int, signum: int) -> Trouble:
    """A signal in that call of ``loss`` or ``predict`` of the model, both behind its forward pass."""

    def trouble() -> None:
        from mgfe_ris.models.segmentor import ReferringSegmentor

        calls, original = [0], getattr(ReferringSegmentor, name)

        def count(self, *args):
            calls[0] += 1
            if calls[0] == call:
                os.kill(os.getpid(), signum)
            return original(self, *args)

        setattr(ReferringSegmentor, name, count)

    return trouble


def until_the_end(folder: Path, options: list[str], troubles: list[Trouble]) -> list[tuple[int, str]]:
    """Each trouble ends one start; the last start has none."""
    runs = [train(folder, options, trouble) for trouble in [*troubles, lambda: None]]
    assert runs[-1][0] == 0, runs[-1][1][-3000:]
    return runs


def trained(folder: Path) -> dict:
    """What the last checkpoint holds that makes the training what it is."""
    state = torch.load(folder / 'epoch_2.pth', weights_only=False)
    return {key: state[key] for key in ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict') if key in state}


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture(scope='module')
def undisturbed(options, one_thread, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp('undisturbed') / 'run'
    assert train(folder, options)[0] == 0
    return trained(folder)


def random_troubles(seed: int) -> list[Trouble]:
    """Kills in the forward pass of a step or of a validation."""
    draw = random.Random(seed)
    found: list[Trouble] = []
    for _ in range(draw.choice([1, 2])):
        name, most = draw.choice([('loss', 2 * STEPS), ('predict', 2 * VALIDATED)])
        found.append(at(name, draw.randint(1, most), signal.SIGKILL))
    return found


@pytest.mark.parametrize('seed', range(20 if os.environ.get('MGFE_RIS_SLOW') else 2))
def test_killed_at_a_random_moment(undisturbed, options, tmp_path, seed):
    runs = until_the_end(tmp_path / 'run', options, random_troubles(seed))
    assert runs[0][0] == -signal.SIGKILL
    assert same(trained(tmp_path / 'run'), undisturbed)
