"""Trainings that are killed while they write, and go on: they end as one that was not disturbed."""

import errno
import logging
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from slow import SLOW, slow

from mgfe_ris.apis import load_config, weights_in
from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.datasets.synthetic import write_refshapes
from mgfe_ris.engine import CheckpointHook, RISRunner

REPO = Path(__file__).parents[2]
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'

resource = pytest.importorskip('resource', reason='not on Windows')
pytestmark = pytest.mark.skipif(not hasattr(os, 'fork'), reason='processes are killed that were forked')


def in_child(function: Callable[[], object], log: Path) -> int:
    """Its status, or minus the signal that ended it; a fork has everything imported."""
    child = os.fork()
    if not child:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        status = 1
        try:
            function()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


class Moments:
    """Of writing: half of the bytes, ahead of and after the renaming, ahead of and after each removal.

    Counts them, and kills this process at the one that is asked for.
    """

    def __init__(self, kill_at: int | None, log: Path):
        self.kill_at, self.log, self.count = kill_at, log, 0

    def reached(self, what: str) -> None:
        self.count += 1
        with self.log.open('a') as file:
            file.write(f'{what}\n')
        if self.count == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """In a child: nothing is put back."""
        put, replace, unlink = LocalBackend.put, Path.replace, Path.unlink

        def put_half(backend, data, path):
            put(backend, data[: len(data) // 2], path)
            self.reached(f'half {Path(path).name}')
            put(backend, data, path)

        def replace_slowly(path, target):
            if path.suffix == '.part':
                self.reached(f'before renaming to {Path(target).name}')
            replace(path, target)
            if path.suffix == '.part':
                self.reached(f'renamed to {Path(target).name}')

        def unlink_slowly(path, missing_ok=False):
            if path.suffix == '.pth':
                self.reached(f'before removing {path.name}')
            unlink(path, missing_ok)

        LocalBackend.put, Path.replace, Path.unlink = put_half, replace_slowly, unlink_slowly


def checkpoints(folder: Path) -> dict[str, dict]:
    assert not list(folder.glob('.*.part')), 'nothing half written is left'
    return {path.name: read_checkpoint(path) for path in folder.glob('*.pth')}


def same(ours: object, theirs: object) -> bool:
    if isinstance(ours, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, (list, tuple)):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return ours == theirs


def require_same_end(folder: Path, undisturbed: Path) -> None:
    """The same files, with the same weights and states of the optimizer and the schedule in them."""
    ours, theirs = checkpoints(folder), checkpoints(undisturbed)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        for part in ('state_dict', 'optimizer', 'param_schedulers'):
            assert same(ours[name].get(part), theirs[name].get(part)), (name, part)
        best = [run[name]['message_hub']['runtime_info'] for run in (ours, theirs)]
        assert same(*({k: v for k, v in info.items() if k.startswith(('best_score', 'keep'))} for info in best))
        assert best[0]['started'] > 0
    last = (folder / 'last_checkpoint').read_text()
    assert Path(last).name == Path((undisturbed / 'last_checkpoint').read_text()).name


def train(runner: RISRunner, folder: Path, log: Path, kill_at: int | None = None, resume: bool = False) -> int:
    moments = Moments(kill_at, log.with_suffix('.moments'))

    def run() -> None:
        moments.watch()
        runner._work_dir, runner._resume = str(folder), resume
        folder.mkdir(exist_ok=True)
        if resume:
            runner.choose_resumed()
        runner.train()

    return in_child(run, log)


# A model that is trained in no time, at every moment


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, mode):
        if mode == 'loss':
            return dict(loss=self.weight * torch.rand(()) * torch.stack(inputs).mean())
        return [dict(weight=self.weight.detach())]


class Score(BaseMetric):
    """Best in these epochs."""

    best: tuple[int, ...] = ()
    runner: RISRunner

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(oIoU=float(self.runner.epoch) if self.runner.epoch in self.best else 0.0)


@pytest.fixture(scope='module')
def toy(tmp_path_factory) -> tuple[RISRunner, Score]:
    data = dict(
        batch_size=2,
        dataset=[dict(inputs=torch.ones(())) for _ in range(4)],
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    score = Score()
    runner = RISRunner(
        Toy(),
        str(tmp_path_factory.mktemp('toy')),
        train_dataloader=data,
        val_dataloader=data,
        train_cfg=dict(by_epoch=True, max_epochs=3, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[score],
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='PolyLR', end=3, by_epoch=True, convert_to_iter_based=True),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1, save_best='oIoU', rule='greater')
        ),
        default_scope='mmseg',
        experiment_name='killed_toy',
    )
    runner.prepare_training()
    score.runner = runner
    return runner, score


@pytest.mark.parametrize(
    ('epochs', 'best', 'keep'),
    [
        (2, (1, 2), 1),
        pytest.param(3, (2,), 1, marks=slow('10 s each')),
        pytest.param(3, (1, 3), 2, marks=slow('10 s each')),
        pytest.param(3, (1,), -1, marks=slow('10 s each')),
    ],
)
def test_killed_at_every_moment_of_writing(toy, tmp_path, epochs, best, keep):
    runner, score = toy
    score.best, runner.train_loop._max_epochs = best, epochs
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook.max_keep_ckpts = keep
    whole, log = tmp_path / 'whole', tmp_path / 'log.txt'
    assert train(runner, whole, log) == 0, log.read_text()[-3000:]
    moments = (tmp_path / 'log.moments').read_text().splitlines()
    assert len(moments) > 20
    for number, moment in enumerate(moments, 1):
        folder = tmp_path / f'killed_{number}'
        assert train(runner, folder, log, number) == -signal.SIGKILL, moment
        if list(folder.glob('*.pth')):
            assert read_checkpoint(weights_in(folder)), moment
        assert train(runner, folder, log, resume=True) == 0, (moment, log.read_text()[-3000:])
        require_same_end(folder, whole)


def test_where_it_stopped_is_kept_until_there_is_more(toy, tmp_path):
    """Asked to stop in a validation that no checkpoint precedes; killed after that validation."""
    runner, score = toy
    score.best = ()
    folder, log = tmp_path / 'run', tmp_path / 'log.txt'

    def run(signum: int, resume: bool) -> None:
        (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
        hook.interval, hook.save_best = 2, None
        runner._work_dir, runner._resume, runner.train_loop._max_epochs = str(folder), resume, 4
        if resume:
            runner.choose_resumed()
        place, forward = ('loss', 'predict')[not resume], Toy.forward

        def forward_or_signal(inputs, mode):
            if mode == place:
                os.kill(os.getpid(), signum)
            return forward(runner.model, inputs, mode)

        runner.model.forward = forward_or_signal
        runner.train()

    assert in_child(lambda: run(signal.SIGTERM, False), log) == 1
    assert [path.name for path in folder.glob('*.pth')] == ['iter_2.pth'], log.read_text()[-3000:]
    assert in_child(lambda: run(signal.SIGKILL, True), log) == -signal.SIGKILL
    assert [path.name for path in folder.glob('*.pth')] == ['iter_2.pth'], 'validated again, and nothing was saved'


@pytest.mark.parametrize(('write', 'kind'), [(3, 'ENOSPC'), (4, 'the system'), (4, 'EDQUOT'), (5, 'EROFS')])
def test_a_disk_that_is_full_keeps_what_was_there(toy, tmp_path, kind, write):
    """In writing epoch_1 again, epoch_2, and the best one of it; with room made, the end is the same."""
    runner, score = toy
    score.best, runner.train_loop._max_epochs = (1, 2), 2
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, CheckpointHook))
    hook.max_keep_ckpts = 1
    whole, folder, log = tmp_path / 'whole', tmp_path / 'full', tmp_path / 'log.txt'
    assert train(runner, whole, log) == 0
    folder.mkdir()
    put, count = LocalBackend.put, iter(range(1, 99))

    def put_some(backend, data, path):
        if next(count) == write:
            if kind == 'the system':
                resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) // 2, -1))
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            else:
                put(backend, data[: len(data) // 2], path)
                raise OSError(getattr(errno, kind), os.strerror(getattr(errno, kind)))
        put(backend, data, path)

    def run_until_full() -> None:
        LocalBackend.put = put_some
        runner._work_dir = str(folder)
        with pytest.raises(OSError, match=r'full: \w+_\d\.pth was not written \(.*\); it needs up to .* MB'):
            runner.train()

    assert in_child(run_until_full, log) == 0, log.read_text()[-3000:]
    assert all(read_checkpoint(path) for path in folder.glob('*.pth')) and not list(folder.glob('.*'))
    assert len(list(folder.glob('epoch_*.pth'))) == 1
    assert train(runner, folder, log, resume=True) == 0, log.read_text()[-3000:]
    require_same_end(folder, whole)


def test_a_disk_that_is_full_is_said_in_a_line(monkeypatch, capsys):
    tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='train')

    class Full:
        def train(self):
            raise OSError(errno.ENOSPC, 'No space left on device', 'runs/vis_data/scalars.json')

    monkeypatch.setattr('mgfe_ris.apis.prepare_cpu', lambda: None)
    monkeypatch.setattr(logging, 'raiseExceptions', True)
    monkeypatch.setitem(tool['main'].__globals__, 'prepare', lambda args: Full())
    monkeypatch.setattr(sys, 'argv', ['train.py', str(TINY)])
    with pytest.raises(SystemExit) as ended:
        tool['main']()
    assert ended.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: runs/vis_data/scalars.json: No space left on device; the checkpoints of before are')
    assert line.endswith('and go on with --resume')


def test_no_whole_checkpoint(toy, tmp_path):
    runner, _ = toy
    whole, log = tmp_path / 'whole', tmp_path / 'log.txt'
    assert train(runner, whole, log) == 0

    def refused(folder: Path, said: str) -> None:
        def run() -> None:
            runner._work_dir = str(folder)
            with pytest.raises((ValueError, OSError), match=said):
                runner.choose_resumed()

        assert in_child(run, log) == 0, log.read_text()[-3000:]

    (last,) = whole.glob('epoch_*.pth')
    (best,) = whole.glob('best_*.pth')
    half = tmp_path / 'half'
    half.mkdir()
    (half / last.name).write_bytes(last.read_bytes()[:-200])
    refused(half, rf'half: nothing to resume, as there is no whole checkpoint among {last.name}\.')
    (half / 'epoch_1.pth').touch()
    refused(half, rf'half: nothing to resume, as there is no whole checkpoint among epoch_1\.pth, {last.name}\.')
    (half / 'iter_1.pth').write_bytes(best.read_bytes())
    refused(half, 'no whole checkpoint among')
    only = tmp_path / 'only'
    only.mkdir()
    (only / best.name).write_bytes(best.read_bytes())
    refused(only, rf'of a training there is {best.name} only, weights without the state .* load_from=')


# The published config


@pytest.fixture(scope='module')
def prepared(small_model, one_thread, tmp_path_factory) -> RISRunner:
    """Two epochs of a few steps, with the hooks of the default config; children train it, and this process does not."""
    root = tmp_path_factory.mktemp('few')
    write_refshapes(root, 'refshapes', images=12, seed=0, size=64, progress=False)
    settings = {**small_model, 'data_root': str(root), 'train_dataloader.batch_size': 8, 'train_cfg.max_epochs': 2}
    settings |= {'default_hooks.pictures.count': 1, 'param_scheduler.0.end': 1}
    for loader in ('train', 'val'):
        settings |= {f'{loader}_dataloader.num_workers': 0, f'{loader}_dataloader.persistent_workers': False}
    settings['visualizer.vis_backends'] = [dict(type='LocalVisBackend')]  # TensorBoard's thread would not be forked
    cfg = load_config(TINY, settings)
    cfg.work_dir = str(tmp_path_factory.mktemp('prepared'))
    runner = RISRunner.from_cfg(cfg)
    runner.prepare_training()
    return runner


def is_tried(moment: str) -> bool:
    """All of them where there is time; else writes that must lose neither the last checkpoint nor the best one."""
    return SLOW or moment.startswith(('half .epoch_2', 'half .best_oIoU_epoch_1'))


@slow('10 s each')
def test_the_published_config_killed_in_each_write(prepared, tmp_path):
    whole, log = tmp_path / 'whole', tmp_path / 'log.txt'
    assert train(prepared, whole, log) == 0, log.read_text()[-3000:]
    moments = (tmp_path / 'log.moments').read_text().splitlines()
    written = [moment.split('.')[1] for moment in moments if moment.startswith('half')]
    assert written[:4] == ['epoch_1', 'best_oIoU_epoch_1', 'epoch_1', 'epoch_2'] and written[-1] == 'epoch_2'
    for number, moment in enumerate(moments, 1):
        if is_tried(moment):
            folder = tmp_path / f'killed_{number}'
            assert train(prepared, folder, log, number) == -signal.SIGKILL, moment
            assert train(prepared, folder, log, resume=True) == 0, (moment, log.read_text()[-3000:])
            require_same_end(folder, whole)
