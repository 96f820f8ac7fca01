"""Trainings that are killed or asked to stop, at any step: resumed, they end as one that was left alone, bit by bit."""

import os
import random
import runpy
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from socket import socket
from types import MappingProxyType

import pytest
import torch
from slow import slow

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
    settings['model.text_encoder.config.hidden_dropout_prob'] = 0.2
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return ['--cfg-options', *(f'{key}={value}' for key, value in texts.items())]


def train(folder: Path, options: list[str], trouble: Trouble = lambda: None, config: Path = TINY) -> tuple[int, str]:
    """In a fork of this process, which spares the imports -> its status, and what it said.

    It is resumed, if there is something to resume.
    """
    folder.mkdir(exist_ok=True)
    output = folder.parent / f'{folder.name}_{len(list(folder.parent.glob(folder.name + "_*")))}.txt'
    arguments = ['train.py', str(config), '--work-dir', str(folder), '--resume', *options]
    child = get_context('fork').Process(target=_train_here, args=(arguments, output, trouble))
    child.start()
    child.join(100)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode is not None, output.read_text()[-3000:]
    assert nobody_is_left(child.pid)
    return child.exitcode, output.read_text()


def nobody_is_left(group: int, seconds: float = 3) -> bool:
    """In a process group; by torch alone, workers would look for their process each 5 seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def train_in_two(folder: Path, options: list[str], trouble: Trouble = lambda: None) -> list[tuple[int, str]]:
    """The same in two processes, of which the second one has the trouble."""
    folder.mkdir(exist_ok=True)
    with socket() as one:
        one.bind(('127.0.0.1', 0))
        port = one.getsockname()[1]
    arguments = ['train.py', str(TINY), '--work-dir', str(folder), '--resume', '--launcher', 'pytorch', *options]
    children = []
    for rank in range(2):
        output = folder.parent / f'{folder.name}_{rank}_{len(list(folder.parent.glob(f"{folder.name}_{rank}_*")))}.txt'
        where = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
        trouble_here = trouble if rank else lambda: None
        child = get_context('fork').Process(target=_train_here, args=(arguments, output, trouble_here, where))
        child.start()
        children.append((child, output))
    for child, _ in children:
        child.join(150)
        child.kill()
    return [(child.exitcode, output.read_text()) for child, output in children]


def _train_here(
    arguments: list[str], output: Path, trouble: Trouble, where: Mapping[str, object] = MappingProxyType({})
) -> None:
    os.environ |= {key: str(value) for key, value in where.items()}
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1) for n in (1, 2))  # pytest put its own in their place
    sys.argv = arguments
    os.setsid()  # signals are for the workers, too, as those of a terminal and of SLURM are
    torch.set_num_threads(1)
    trouble()
    runpy.run_path(str(TRAIN), run_name='__main__')


def at(name: str, call: int, signum: int) -> Trouble:
    """A signal in that call of ``loss`` or ``predict`` of the model, both after its forward pass."""

    def trouble() -> None:
        from mgfe_ris.models.segmentor import ReferringSegmentor

        calls, original = [0], getattr(ReferringSegmentor, name)

        def count(self, *args):
            calls[0] += 1
            if calls[0] == call and signum == signal.SIGKILL:
                os.kill(os.getpid(), signum)
            elif calls[0] == call:
                os.killpg(0, signum)
            return original(self, *args)

        setattr(ReferringSegmentor, name, count)

    return trouble


def until_the_end(
    folder: Path, options: list[str], troubles: list[Trouble], config: Path = TINY
) -> list[tuple[int, str]]:
    """Each trouble ends one start; the last start has none."""
    runs = [train(folder, options, trouble, config) for trouble in [*troubles, lambda: None]]
    assert runs[-1][0] == 0, runs[-1][1][-3000:]
    return runs


def trained(folder: Path, name: str = 'epoch_2.pth') -> dict:
    """What the last checkpoint holds that makes the training what it is."""
    state = torch.load(folder / name, weights_only=False)
    return {
        key: state[key] for key in ('state_dict', 'optimizer', 'param_schedulers', 'ema_state_dict') if key in state
    }


def same(a: object, b: object) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.fixture(scope='module', autouse=True)
def imported(small_model) -> None:
    """Ahead of the first fork."""
    import mgfe_ris.engine  # noqa: F401
    from mgfe_ris.apis import build_model, load_config

    build_model(load_config('mgfe-ris_tiny_refshapes', small_model))
    import torch.utils.tensorboard  # noqa: F401


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


@slow('10 s each')
@pytest.mark.parametrize('seed', range(20))
def test_killed_at_a_random_moment(undisturbed, options, tmp_path, seed):
    runs = until_the_end(tmp_path / 'run', options, random_troubles(seed))
    assert runs[0][0] == -signal.SIGKILL
    assert same(trained(tmp_path / 'run'), undisturbed)


@pytest.mark.parametrize(
    ('signum', 'name', 'call'),
    [
        pytest.param(signal.SIGTERM, 'loss', 3, id='in an epoch'),
        pytest.param(signal.SIGINT, 'loss', 2 * STEPS - 1, id='in the last epoch', marks=slow('10 s each')),
        pytest.param(signal.SIGUSR1, 'loss', STEPS, id='in the last step of an epoch', marks=slow('10 s each')),
        pytest.param(signal.SIGTERM, 'predict', 1, id='in a validation'),
    ],
)
def test_asked_to_stop(undisturbed, options, tmp_path, signum, name, call):
    """It goes on from the step; a file of the step is written where there is none of the epoch."""
    run = tmp_path / 'run'
    status, said = train(run, options, at(name, call, signum))
    assert status == 128 + signum
    last = said.splitlines()[-1]
    step = STEPS if name == 'predict' else call
    epoch, inside = 1 + step // STEPS, step % STEPS
    saved = f'; saved as {run}/iter_{step}.pth' if inside else ''
    by = f'stopped by {signal.Signals(signum).name} in epoch {epoch}, after step {step}{saved}. To go on: '
    command = shlex.join([str(TRAIN), str(TINY), '--work-dir', str(run), '--resume', *options])
    assert last == f'{by}python {command}'
    assert [path.name for path in run.glob('iter_*.pth')] == ([f'iter_{step}.pth'] if inside else [])
    status, said = train(run, options)
    assert status == 0, said[-3000:]
    assert same(trained(run), undisturbed)
    assert f'resumed epoch: {epoch - 1}, iter: {step}' in said


def changed(options: list[str], **settings: object) -> list[str]:
    return [*options, *(f'{key.replace("__", ".")}={value}' for key, value in settings.items())]


def ends_of_runs(folder: Path, options: list[str], *troubles: Trouble, config: Path = TINY) -> list[dict]:
    """What the checkpoint at the end holds, of a run that is left alone and of one with troubles."""
    ends = []
    for name, some in (('alone', []), ('troubled', list(troubles))):
        runs = until_the_end(folder / name, options, some, config)
        assert all(status in (128 + signal.SIGTERM, -signal.SIGKILL) for status, _ in runs[:-1]), runs[0][1][-2000:]
        (last,) = [
            path for path in (folder / name).glob('*.pth') if path.name in ('epoch_2.pth', f'iter_{2 * STEPS}.pth')
        ]
        ends.append(trained(last.parent, last.name))
    return ends


@slow('10 s each')
def test_gradients_of_several_steps_are_not_lost(options, tmp_path):
    """Each 4th of 12 steps changes the weights. Killed in the 9th, it goes on after the 6th, with two gradients;
    asked to stop in the 7th, it goes on to the 8th."""
    several = changed(options, optim_wrapper__accumulative_counts=4)
    alone, troubled = ends_of_runs(tmp_path, several, at('loss', 9, signal.SIGKILL), at('loss', 1, signal.SIGTERM))
    assert same(alone, troubled)
    assert 'after step 8; saved' in (tmp_path / 'troubled_1.txt').read_text().splitlines()[-1]


@slow('10 s each')
def test_steps_instead_of_epochs_with_averaged_weights(options, tmp_path):
    """mmengine loads again what was trained on; of its averages, the weights themselves are to go on."""
    config = tmp_path / 'by_step.py'
    loop = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2 * STEPS, val_interval=STEPS)
    cosine = dict(type='CosineAnnealingLR', by_epoch=False, begin=0, end=2 * STEPS)
    config.write_text(f"""
_base_ = {str(TINY)!r}
train_cfg = {loop}
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
param_scheduler = [{cosine}]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval={STEPS}))
custom_hooks = [dict(type='EMAHook')]
""")
    by_step = [text for text in options if not text.startswith(('train_cfg.', 'param_scheduler.'))]
    troubles = [at('loss', 4, signal.SIGTERM), at('loss', 5, signal.SIGTERM)]
    alone, troubled = ends_of_runs(tmp_path, by_step, *troubles, config=config)
    assert 'ema_state_dict' in alone and same(alone, troubled)


@slow('10 s each')
def test_a_validation_that_no_checkpoint_precedes_is_broken_off(options, tmp_path):
    """The averages are in the place of the weights then."""
    rare = changed(options, default_hooks__checkpoint__interval=2, custom_hooks="[dict(type='EMAHook')]")
    alone, troubled = ends_of_runs(tmp_path, rare, at('predict', 1, signal.SIGTERM))
    assert same(alone, troubled) and (tmp_path / 'troubled_0.txt').read_text().count('iter_6.pth') == 1


@slow('10 s each')
def test_two_processes_of_which_one_is_asked_to_stop(options, tmp_path):
    """They stop together, in an epoch and in a validation, and go on as two that nobody asked."""
    two = changed(options, train_dataloader__batch_size=2, val_dataloader__batch_size=1)
    assert [status for status, _ in train_in_two(tmp_path / 'alone', two)] == [0, 0]
    for trouble, place in (
        (at('loss', 2, signal.SIGTERM), 'epoch 1, after step 3; saved'),
        (at('predict', 1, signal.SIGUSR1), 'after step 6'),
    ):
        runs = train_in_two(tmp_path / 'run', two, trouble)
        assert {status for status, _ in runs} <= {128 + signal.SIGTERM, 128 + signal.SIGUSR1} and place in runs[0][1]
        assert 'stopped by' not in runs[1][1], 'the first one speaks'
    assert [status for status, _ in train_in_two(tmp_path / 'run', two)] == [0, 0]
    assert same(trained(tmp_path / 'run'), trained(tmp_path / 'alone'))
