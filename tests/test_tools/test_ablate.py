"""An ablation as a user runs it: interrupted and run again, and what is written."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/analysis_tools/ablate.py'


@pytest.fixture(scope='module')
def command(refshapes, small_model):
    """Two rows on 40 drawn photos."""
    options = {**small_model, 'data_root': refshapes, 'train_dataloader.batch_size': 16}
    options = {key: ','.join(map(str, v)) if isinstance(v, tuple) else v for key, v in options.items()}
    rows = ['1_ratio-1-4', '3_ratio-1-1']
    fixed = ['table9', '--data', 'refshapes', '--rows', *rows, '--seeds', '1', '--jobs', '2', '--epochs', '2']
    return [*fixed, '--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def run(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-W', 'ignore', str(TOOL), *map(str, args)],
        cwd=REPO,
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope='module')
def whole(command, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp('ablations')
    done = run(*command, '--out', out)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '1_ratio-1-4: ' in done.stdout and ' M parameters, ' in done.stdout and ' GFLOPs' in done.stdout
    assert '2/2' in done.stderr, 'the progress'
    return out


def test_the_table_says_what_the_tests_found(whole):
    header, _, *rows = (whole / 'table9_refshapes.md').read_text().splitlines()
    assert len(rows) == 2 and 'GFLOPs' in header and '±' not in rows[0], 'one seed has no spread'
    with open(whole / 'table9_refshapes.csv') as file:
        runs = list(csv.DictReader(file))
    assert [(r['row'], r['seed']) for r in runs] == [('1_ratio-1-4', '0'), ('3_ratio-1-1', '0')]
    for of_run, line in zip(runs, rows, strict=True):
        samples = whole / 'table9_refshapes' / of_run['row'] / 'seed0/val.jsonl'
        iou = [json.loads(sample)['iou'] for sample in samples.read_text().splitlines()]
        assert float(of_run['mIoU']) == pytest.approx(100 * np.mean(iou), abs=1e-3)
        assert f'| {float(of_run["mIoU"]):.2f} |' in line
    for name in ('table9_refshapes.png', 'table9_refshapes_steps.png'):
        assert np.asarray(Image.open(whole / name)).std() > 10


def test_what_is_done_is_not_done_again(whole, command):
    files = sorted(whole.glob('table9_refshapes/*/seed0/*'))
    before = {path: path.stat().st_mtime_ns for path in files if path.name != 'config.py'}
    table = (whole / 'table9_refshapes.md').read_text()
    assert run(*command, '--out', whole).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (whole / 'table9_refshapes.md').read_text() == table


def test_interrupted_behind_the_first_epoch_it_ends_with_the_same_weights(whole, tmp_path):
    finished = whole / 'table9_refshapes/1_ratio-1-4/seed0'
    config = tmp_path / 'config.py'
    config.write_text((finished / 'config.py').read_text())
    train = [sys.executable, '-W', 'ignore', str(REPO / 'tools/train.py'), str(config), '--work-dir', str(tmp_path)]
    stop = 'import mmengine.runner.loops as m, runpy, sys\n' \
        'run = m.EpochBasedTrainLoop.run_epoch\n' \
        'm.EpochBasedTrainLoop.run_epoch = lambda loop: sys.exit(9) if loop.epoch == 1 else run(loop)\n' \
        f'sys.argv = {train[3:]!r}\n' \
        f'runpy.run_path({train[3]!r}, run_name="__main__")\n'  # fmt: skip
    settings = dict(cwd=REPO, env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'}, capture_output=True)
    assert subprocess.run([*train[:3], '-c', stop], **settings).returncode == 9
    assert (tmp_path / 'epoch_1.pth').is_file() and not (tmp_path / 'epoch_2.pth').exists()
    assert subprocess.run([*train, '--resume'], **settings).returncode == 0
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


def test_other_settings_in_the_same_folder_are_refused(whole, command):
    done = run(*command[:-1], command[-1], 'model.loss.ratio=2', '--out', whole)
    assert done.returncode == 2 and 'holds a run of other settings' in done.stderr


def test_a_run_that_fails_is_named_and_the_others_go_on(command, tmp_path):
    done = run(*command, 'train_dataloader.dataset.split=nowhere', '--out', tmp_path)
    assert done.returncode == 1
    assert '1_ratio-1-4, seed 0: train.py failed; the end of ' in done.stderr
    assert '3_ratio-1-1, seed 0: train.py failed; the end of ' in done.stderr
    assert 'no table yet' in done.stdout
    log = tmp_path / 'table9_refshapes/1_ratio-1-4/seed0/log.txt'
    assert "no split 'nowhere'" in log.read_text()
