"""Without packages that few need, everything else runs; what needs one says so in a line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
OPTIONAL = ['gradio', 'mmpretrain', 'onnx', 'onnxruntime', 'ray', 'starlette', 'tensorboard', 'timm']

RUN_WITHOUT = """
import contextlib, io, json, runpy, sys
from importlib.machinery import PathFinder
absent, commands = map(json.loads, sys.argv[1:])
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if name.split('.')[0] in absent else find(name, *args)
found = []
for words in commands:
    sys.argv, printed, status = words, io.StringIO(), 0
    with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(sys.stderr):
        try:
            runpy.run_path(words[0], run_name='__main__')
        except SystemExit as ended:
            status = ended.code or 0
    found.append([status, printed.getvalue()])
print(json.dumps([found, sorted(set(absent) & {name.split('.')[0] for name in sys.modules})]))
"""


def run_without(absent: list[str], cwd: Path, *commands: list[object]) -> list[tuple[int, str]]:
    """Status and stderr of each tool, all in one process, which spares imports."""
    words = [[str(REPO / 'tools' / command[0]), *map(str, command[1:])] for command in commands]
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', RUN_WITHOUT, json.dumps(absent), json.dumps(words)],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    found, imported = json.loads(done.stdout.splitlines()[-1])
    assert not imported, 'they were there, and the test is a dud'
    return found


def options_of(refshapes: Path, small_model: dict) -> list[str]:
    """A training of seconds."""
    settings = {**small_model, 'data_root': refshapes, 'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 16}
    for loader in ('train', 'val', 'test'):
        settings |= {f'{loader}_dataloader.num_workers': 0, f'{loader}_dataloader.persistent_workers': False}
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return [f'{key}={value}' for key, value in texts.items()]


@pytest.fixture(scope='module')
def ran(refshapes, small_model, tmp_path_factory) -> dict[str, tuple[int, str, Path]]:
    cwd = tmp_path_factory.mktemp('without')
    options = ['--cfg-options', *options_of(refshapes, small_model)]
    photo = next((refshapes / 'images').rglob('*.jpg'))
    encoders = {'convnext': 'mgfe-ris_convnext-base_refcoco', 'vit': 'mgfe-ris_vit-base-dino_refcoco'}
    commands: dict[str, list] = {
        'train': ['train.py', 'mgfe-ris_tiny_refshapes', '--work-dir', 'out', *options],
        'test': ['test.py', 'mgfe-ris_tiny_refshapes', 'out/epoch_1.pth', '--out', 'tested', *options],
        'infer': ['infer.py', photo, '--text', 'the red ring', '--model', 'out', '--out', 'found'],
        'onnx': ['deployment/export_onnx.py', 'out', '--out', 'exported'],
    }
    commands |= {name: ['analysis_tools/get_flops.py', config] for name, config in encoders.items()}
    done = run_without(OPTIONAL, cwd, *commands.values())
    return {name: (*result, cwd) for name, result in zip(commands, done, strict=True)}


@pytest.mark.parametrize(
    'tool, left', [('train', 'out/epoch_1.pth'), ('test', 'tested/metrics.json'), ('infer', 'found/results.jsonl')]
)
def test_what_needs_none_runs(ran, tool, left):
    status, said, cwd = ran[tool]
    assert status == 0 and (cwd / left).is_file(), said[-2000:]


def test_training_says_that_tensorboard_gets_no_files(ran):
    log = ''.join(path.read_text() for path in (ran['train'][2] / 'out').glob('*/*.log'))
    assert 'pip install tensorboard' in log and not [*(ran['train'][2] / 'out').rglob('events.out.*')]


@pytest.mark.parametrize(
    'tool, package', [('convnext', 'onedl-mmpretrain'), ('vit', 'onedl-mmpretrain'), ('onnx', 'tools/deployment')]
)
def test_what_needs_one_says_so_in_a_line(ran, tool, package):
    status, said, _ = ran[tool]
    (line,) = [line for line in said.splitlines() if line.startswith('error: ')]
    assert status == 2 and 'pip install' in line and package in line, said[-2000:]


@pytest.fixture(scope='module')
def ran_without_coco(ran, refshapes, small_model, tmp_path_factory) -> dict[str, tuple[int, str]]:
    cwd = tmp_path_factory.mktemp('without_coco')
    model, photo = ran['train'][2] / 'out', next((refshapes / 'images').rglob('*.jpg'))
    config, options = 'mgfe-ris_tiny_refshapes', ['--cfg-options', *options_of(refshapes, small_model)]
    commands: dict[str, list] = {
        'train': ['train.py', config, '--work-dir', 'out', *options],
        'test': ['test.py', config, model / 'epoch_1.pth', '--out', 'tested', *options],
        'infer': ['infer.py', photo, '--text', 'the red ring', '--model', model, '--out', 'found'],
        'shapes': ['dataset_converters/make_refshapes.py', '--out', 'shapes', '--images', 10, '--size', 32],
        'loader': ['analysis_tools/benchmark_loader.py', config, '--loader', 'train', *options],
        'flops': ['analysis_tools/get_flops.py', config],
        'help': ['analysis_tools/benchmark_loader.py', '--help'],
    }
    done = dict(zip(commands, run_without(['pycocotools'], cwd, *commands.values()), strict=True))
    assert not [*cwd.rglob('*.pth'), *cwd.rglob('*.jsonl'), *cwd.rglob('metrics.json')]
    return done


@pytest.mark.parametrize('tool', ['flops', 'help'])
def test_without_run_lengths_no_pycocotools_is_needed(ran_without_coco, tool):
    status, said = ran_without_coco[tool]
    assert status == 0, said[-2000:]


@pytest.mark.parametrize('tool', ['train', 'test', 'infer', 'shapes', 'loader'])
def test_pycocotools_is_missed_in_a_line_before_the_work(ran_without_coco, tool):
    status, said = ran_without_coco[tool]
    (line,) = [line for line in said.splitlines() if line.startswith('error: ')]
    assert status == 2 and 'pip install pycocotools' in line and 'Traceback' not in said, said[-2000:]
