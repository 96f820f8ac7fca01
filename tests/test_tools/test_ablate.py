"""An ablation as a user runs it: interrupted and run again, and what is written."""

import csv
import json
import os
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from forks import run_tool_in_fork
from PIL import Image

from mgfe_ris.apis import AblationRun, alone_in, find_rows, load_model, row_config, work
from mgfe_ris.engine.loops import EpochBasedTrainLoop

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/analysis_tools/ablate.py'


@pytest.fixture(scope='module')
def command(refshapes, small_model):
    """Two rows on 40 drawn photos."""
    options = {**small_model, 'data_root': refshapes, 'train_dataloader.batch_size': 16}
    for loader in ('train', 'val', 'test'):
        options |= {f'{loader}_dataloader.num_workers': 0, f'{loader}_dataloader.persistent_workers': False}
    options = {key: ','.join(map(str, v)) if isinstance(v, tuple) else v for key, v in options.items()}
    rows = ['1_ratio-1-4', '3_ratio-1-1']
    fixed = ['table9', '--data', 'refshapes', '--rows', *rows, '--seeds', '1', '--jobs', '2', '--epochs', '2']
    return [*fixed, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def run(*args: object) -> SimpleNamespace:
    return run_tool_in_fork(TOOL, *args)


@pytest.fixture(scope='module')
def one_row(command) -> list[str]:
    """The first row alone: two processes that import everything and train; several at once are below, with tools that
    train nothing."""
    return [word for word in command if word != '3_ratio-1-1']


@pytest.fixture(scope='module')
def whole(one_row, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('ablations')
    done = run(*one_row, '--out', out)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '1_ratio-1-4: ' in done.stdout and ' M parameters, ' in done.stdout and ' GFLOPs' in done.stdout
    progress = done.stderr.splitlines()[-1]
    assert '100%' in progress and '2.0/2.0 epochs' in progress
    assert '1_ratio-1-4, seed 0' in done.stderr, 'what runs'
    return out


def test_the_table_says_what_the_tests_found(whole):
    text = (whole / 'table9_refshapes.md').read_text()
    assert text.startswith('# table9 on refshapes\n') and 'ablate.py table9 --data refshapes' in text
    header, _, *rows = (line for line in text.splitlines() if line.startswith('|'))
    assert len(rows) == 1 and 'GFLOPs' in header and '±' not in rows[0], 'one seed has no spread'
    with open(whole / 'table9_refshapes.csv') as file:
        runs = list(csv.DictReader(file))
    assert [(r['row'], r['seed']) for r in runs] == [('1_ratio-1-4', '0')]
    for of_run, line in zip(runs, rows, strict=True):
        samples = whole / 'table9_refshapes' / of_run['row'] / 'seed0/val.jsonl'
        iou = [json.loads(sample)['iou'] for sample in samples.read_text().splitlines()]
        assert float(of_run['mIoU']) == pytest.approx(100 * np.mean(iou), abs=1e-3)
        assert f'| {float(of_run["mIoU"]):.2f} |' in line
    for name in ('table9_refshapes.png', 'table9_refshapes_steps.png'):
        assert np.asarray(Image.open(whole / name)).std() > 10


def test_what_is_done_is_not_done_again(whole, one_row):
    files = sorted(whole.glob('table9_refshapes/*/seed0/*'))
    before = {path: path.stat().st_mtime_ns for path in files}
    table = (whole / 'table9_refshapes.md').read_text()
    assert run(*one_row, '--out', whole).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (whole / 'table9_refshapes.md').read_text() == table


def test_a_run_s_folder_is_a_model_that_can_be_looked_at(whole):
    train = whole / 'table9_refshapes/1_ratio-1-4/seed0/train'
    assert not list(train.glob('best_*.pth')), 'it never validated'
    ours, theirs = load_model(train).state_dict(), torch.load(train / 'epoch_2.pth', weights_only=False)['state_dict']
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_interrupted_behind_the_first_epoch_it_ends_with_the_same_weights(whole, tmp_path, monkeypatch):
    finished = whole / 'table9_refshapes/1_ratio-1-4/seed0'
    config = tmp_path / 'config.py'
    config.write_text((finished / 'config.py').read_text())
    train = [REPO / 'tools/train.py', config, '--work-dir', tmp_path]
    run_epoch = EpochBasedTrainLoop.run_epoch
    with monkeypatch.context() as patch:  # a fork has it, too
        patch.setattr(
            EpochBasedTrainLoop, 'run_epoch', lambda loop: sys.exit(9) if loop.epoch == 1 else run_epoch(loop)
        )
        assert run_tool_in_fork(*train).returncode == 9
    assert (tmp_path / 'epoch_1.pth').is_file() and not (tmp_path / 'epoch_2.pth').exists()
    assert run_tool_in_fork(*train, '--resume').returncode == 0
    ours, theirs = (
        torch.load(folder / 'epoch_2.pth', weights_only=False)['state_dict']
        for folder in (tmp_path, finished / 'train')
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and ours.keys() == theirs.keys()


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['table4'], "no table 'table4'; there are ["),
        (['table3', '--data', 'coco'], "no data 'coco'; there are ["),
        (['table3', '--rows', '9_none'], "table3 has no ['9_none']; it has ['1_baseline'"),
        (['table3', '--jobs', '0'], '--jobs must be 1 or more; got 0'),
        (['table3', '--epochs', '0', '--data', 'refshapes'], 'epochs must be 1 or more; got 0'),
    ],
)
def test_wrong_input_is_named(args, said, tmp_path):
    done = run(*args, '--out', tmp_path)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_other_settings_in_the_same_folder_are_refused(whole, one_row):
    done = run(*one_row, 'model.loss.focal_weight=2', '--out', whole)
    assert done.returncode == 2 and 'holds a run of other settings' in done.stderr


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        ('data_root=nowhere', 'nowhere/refshapes'),
        ('train_dataloader.dataset.split=nowhere', "no split 'nowhere'"),
        ('model.neck.refine.widht=3', 'model.neck.refine.widht: nothing reads this key'),
        ('model.text_encoder.pretrained=no-such/model', "'no-such/model' is neither a local folder nor to be had"),
    ],
)
def test_what_no_run_could_begin_with_is_named_before_anything_is_written(command, tmp_path, monkeypatch, change, said):
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *command, change, '--out', str(tmp_path)])
    tool = runpy.run_path(str(TOOL))
    with pytest.raises((OSError, ValueError), match=said):
        tool['plan'](tool['parse_args']())
    assert not list(tmp_path.iterdir())


# With tools that train nothing


@pytest.fixture
def tool(tmp_path, monkeypatch) -> dict:
    """The functions of ablate.py."""
    (tmp_path / 'tools').mkdir()
    monkeypatch.setattr('mgfe_ris.apis.experiments.ablation.TOOLS', tmp_path / 'tools')
    return runpy.run_path(str(TOOL))


def prepared(folder: Path, rows: int, seeds: int = 1) -> list[AblationRun]:
    files = list(find_rows('table3').items())[:rows]
    runs = [
        AblationRun(row, seed, folder / row / f'seed{seed}', row_config(path, 'refshapes', seed, epochs=2))
        for seed in range(seeds)
        for row, path in files
    ]
    for run in runs:
        run.prepare()
    return runs


TRAIN = """
import pathlib, sys
folder = pathlib.Path(sys.argv[3])
folder.mkdir()
for name in ('epoch_2.pth', 'last_checkpoint'):
    (folder / name).write_text('epoch_2.pth')
"""
FAIL_THE_FIRST = 'import sys\nif "1_baseline" in sys.argv[1]: exit("Epoch(train) [1][ 5/10]")\n'
TEST = """
import pathlib, sys
folder = pathlib.Path(sys.argv[-1])
folder.mkdir()
(folder / 'val.jsonl').write_text('{}')
"""


def test_each_row_runs_once_in_the_order_of_the_table(tool, command, tmp_path, monkeypatch):
    rows = ['3_ratio-1-1', '1_ratio-1-4', '1_ratio-1-4']
    args = [*command[:4], *rows, *command[6:], '--seeds', '2', '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *args])
    runs, known = tool['plan'](tool['parse_args']())
    assert [(run.row, run.seed) for run in runs] == [(row, seed) for seed in (0, 1) for row in sorted({*rows})]
    assert list(known) == sorted({*rows}), 'the first one is the baseline'
    assert not (tmp_path / 'out').exists()


def test_the_table_is_written_behind_each_seed_and_progress_leaves_out_what_failed(tool, tmp_path, capfd):
    (tmp_path / 'tools/train.py').write_text(FAIL_THE_FIRST + TRAIN)
    (tmp_path / 'tools/test.py').write_text(TEST)
    runs = prepared(tmp_path / 'out', rows=2, seeds=2)
    written = []
    failed = work(runs, 1, lambda: written.append([run.done for run in runs]))
    assert written == [[False, True, False, False]], 'after seed 0; the last one is for the caller to write'
    assert [run.done for run in runs] == [False, True, False, True] and list(failed) == [runs[0], runs[2]]
    said = capfd.readouterr().err
    assert said.count('error: 1_baseline, seed 0: train.py failed') == 1
    assert '5.0/5.0 epochs' in said.splitlines()[-1], 'two of two epochs, and half an epoch of each that failed'


@pytest.mark.parametrize(('jobs', 'threads'), [(1, '6\n'), (2, '3\n'), (9, '1\n')])
def test_runs_share_the_cores_that_this_process_may_use(tool, tmp_path, monkeypatch, jobs, threads):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: set(range(6)), raising=False)
    (tmp_path / 'tools/train.py').write_text('exit(1)')
    (run,) = prepared(tmp_path / 'out', rows=1)
    work([run], jobs, lambda: None)
    assert (run.folder / 'threads.txt').read_text() == threads


def test_a_folder_is_for_one_at_a_time(tool, tmp_path):
    pytest.importorskip('fcntl')
    with alone_in(tmp_path / 'out'):
        with pytest.raises(BlockingIOError) as error, alone_in(tmp_path / 'out'):
            pass
        assert str(error.value) == f'{tmp_path / "out"}: another command works there; wait for it, or end it'
        with alone_in(tmp_path / 'other'):
            pass
    with alone_in(tmp_path / 'out'):
        pass


def ablate(tool: dict, monkeypatch, *args: object) -> int | str:
    """Its exit status, in this process."""
    monkeypatch.setattr(sys, 'argv', ['ablate.py', *map(str, args)])
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            tool['main']()
    finally:
        signal.signal(signal.SIGTERM, before)
    return ended.value.code


def test_who_comes_second_is_refused(tool, command, tmp_path, monkeypatch, capfd):
    pytest.importorskip('fcntl')
    with alone_in(tmp_path / 'table9_refshapes'):
        assert ablate(tool, monkeypatch, *command, '--out', tmp_path) == 2
    assert 'another command works there' in capfd.readouterr().err.splitlines()[-1]
    assert [path.name for path in (tmp_path / 'table9_refshapes').iterdir()] == ['.lock']


def test_a_run_that_fails_is_named_once_and_the_others_go_on(tool, command, tmp_path, monkeypatch, capfd):
    (tmp_path / 'tools/train.py').write_text('print("error: too few samples"); exit(2)')
    status = ablate(tool, monkeypatch, *command, '--out', tmp_path)
    assert str(status).startswith('error: 2 of 2 runs failed')
    said = capfd.readouterr()
    for row in ('1_ratio-1-4', '3_ratio-1-1'):
        (line,) = [line for line in said.err.splitlines() if f'error: {row}, seed 0: train.py failed' in line]
        assert line.endswith('log.txt): too few samples')
    assert 'no table yet' in said.out


TRAIN_OR_END = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[3])
if 'seed1' in sys.argv[1]:
    (folder.parent / 'pid').write_text(str(os.getpid()))
    pids = [folder.parents[2] / row / 'seed1/pid' for row in ('1_ratio-1-4', '3_ratio-1-1')]
    if 'ratio-1-1' in sys.argv[1]:
        while not all(pid.is_file() and pid.read_text() for pid in pids):
            time.sleep(0.1)
        os.kill(os.getppid(), SIGNAL)
    time.sleep(60)
(folder / '1/vis_data').mkdir(parents=True)
lines = [dict(loss=1 / step, time=0.1, data_time=0.0, step=step, epoch=1) for step in (10, 20)]
(folder / '1/vis_data/scalars.json').write_text(''.join(json.dumps(line) + '\\n' for line in lines))
for name in ('epoch_2.pth', 'last_checkpoint'):
    (folder / name).write_text('epoch_2.pth')
"""
TEST_SOME = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[-1])
folder.mkdir()
mask = dict(size=[8, 8], counts='P2')
names = dict(img_path='a.jpg', sentence='a', ref_id=1, sent_id=1, pred=mask, truth=mask)
lines = [dict(names, img_id=i, intersection=i + 1, union=10, iou=(i + 1) / 10) for i in range(5)]
(folder / 'val.jsonl').write_text(''.join(json.dumps(line) + '\\n' for line in lines))
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(sys.platform == 'win32', reason='other signals')
@pytest.mark.parametrize('kind', [signal.SIGTERM, signal.SIGINT])
def test_whoever_ends_it_ends_the_trainings_and_gets_a_table(tool, command, tmp_path, monkeypatch, capfd, kind):
    """While both rows train seed 1."""
    (tmp_path / 'tools/train.py').write_text(TRAIN_OR_END.replace('SIGNAL', str(int(kind))))
    (tmp_path / 'tools/test.py').write_text(TEST_SOME)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background ignore it
    try:
        assert ablate(tool, monkeypatch, *command, '--seeds', '2', '--out', tmp_path) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    said = capfd.readouterr()
    assert said.err.splitlines()[-1] == 'interrupted: run the same command to go on'
    pids = [int(path.read_text()) for path in tmp_path.glob('table9_refshapes/*/seed1/pid')]
    assert len(pids) == 2 and not any(is_alive(pid) for pid in pids)
    assert (tmp_path / 'table9_refshapes.md').is_file() and said.out.count('wrote ') == 2, (
        'after seed 0, and at the end'
    )
