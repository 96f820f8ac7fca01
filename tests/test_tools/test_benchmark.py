"""The benchmark as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from slow import slow

from mgfe_ris.apis import load_config
from mgfe_ris.engine.pinned import collate
from mgfe_ris.profiling import Setting, speed
from mgfe_ris.visualization import speed_table

REPO = Path(__file__).parents[2]
TOOL = REPO / 'tools/analysis_tools/benchmark.py'
NAIVE = REPO / 'projects/naive_lavt'


@pytest.fixture
def benchmark(monkeypatch, capsys, small_model, one_thread):
    """Run the tool in this process, as fast as it goes -> what it printed."""
    monkeypatch.syspath_prepend(NAIVE)
    monkeypatch.setattr(speed, 'MIN_SECONDS', 0.0)
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in small_model.items()}
    options = ['--cfg-options', *(f'{key}={value}' for key, value in texts.items())]

    def run(*args: object, size: tuple = ('--size', 32, 32)) -> str:
        small = [*size, '--repeats', 2]
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, [*small, *args, *options])])
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize('mode', ['train', pytest.param('test', marks=slow('10 s'))])
def test_beside_the_plain_one(benchmark, tmp_path, mode):
    vs = NAIVE / 'naive-lavt_tiny_refshapes.py'
    printed = benchmark('lavt_tiny_refshapes', '--vs', vs, '--mode', mode, '--batch', 2, '--out', tmp_path / 'out')
    report = json.loads((tmp_path / 'out/speed.json').read_text())
    assert printed == f'{speed_table(report)}\nwrote {tmp_path / "out"}\n'
    assert [model['name'] for model in report['models']] == ['lavt_tiny_refshapes', 'naive-lavt_tiny_refshapes']
    assert len(report['ratio']['pairs']) == report['repeats'] == 2
    assert ('backward' in report['models'][0]['parts_ms']) == (mode == 'train')
    ours, theirs = (model['gflop'] for model in report['models'])
    assert 0.8 * theirs < ours < theirs, 'the decoder mixes channels before it up-samples'
    with Image.open(tmp_path / 'out/speed.png') as picture:
        assert picture.width > 500


def test_sentences_and_data(benchmark, refshapes, tmp_path):
    loader = ['num_workers=0', 'persistent_workers=False', 'batch_size=4']
    options = [f'data_root={refshapes}', *(f'test_dataloader.{option}' for option in loader)]
    printed = benchmark(
        *('mgfe-ris_tiny_refshapes', '--sentences', 3, '--words', 7, '--no-text', '--amp', 'bf16', '--data'),
        *('--out', tmp_path / 'a.png', '--cfg-options', *options),
    )
    assert 'test: 1 photo of 32 x 32, 3 sentences each, 7 words, cpu, bf16, no text encoder' in printed
    assert '% of the time' in printed and 'pair by pair' not in printed
    assert [path.name for path in tmp_path.iterdir()] == ['a.png']


def test_data_come_from_the_loader_that_training_has(refshapes, small_model):
    options = {**small_model, 'data_root': str(refshapes), 'train_dataloader.batch_size': 4}
    cfg = load_config('lavt_tiny_refshapes', options, from_scratch=True)
    setting = Setting(mode='train', batch=1, size=(32, 32))
    assert runpy.run_path(str(TOOL))['build'](cfg, True, setting).loader.collate_fn.func is collate


def test_the_size_is_that_of_the_config(benchmark):
    assert 'test: 1 photo of 64 x 64, 1 sentence each' in benchmark('lavt_tiny_refshapes', size=())


def test_beside_one_sentence_at_a_time(benchmark):
    printed = benchmark('mgfe-ris_tiny_refshapes', '--sentences', 4, '--vs-one-by-one')
    assert 'time of mgfe-ris_tiny_refshapes / time of mgfe-ris_tiny_refshapes, one by one' in printed


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['lavt_tiny_refshapes', '--vs-one-by-one'], 'with each alone: give --sentences'),
        (['no-such-config'], 'no such config file'),
        (['lavt_tiny_refshapes', '--vs', 'no-such-config'], 'no such config file'),
        (['lavt_tiny_refshapes', '--mode', 'train', '--sentences', 2], 'one sentence per photo'),
        (['lavt_tiny_refshapes', '--repeats', 0], '--repeats must be 1 or more; got 0'),
        (['lavt_tiny_refshapes', '--words', 99], 'cannot take sentences of 99 words'),
        (['lavt_tiny_refshapes', '--data', '--cfg-options', 'data_root=nowhere'], 'nowhere'),
        (['lavt_tiny_refshapes', '--out', TOOL], 'File exists'),
        (['lavt_tiny_refshapes', '--device', 'cuda'], 'has no CUDA; use cpu'),
    ],
)
def test_wrong_input_is_named(benchmark, capsys, monkeypatch, args, message):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(SystemExit) as stop:
        benchmark(*args)
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith('error: ') and message in printed


@slow('10 s')
def test_parts_of_a_config_that_compiles_are_those_of_its_parts(benchmark, tmp_path):
    benchmark('mgfe-ris_tiny_refshapes', '--out', tmp_path, '--cfg-options', 'model.compile.backend=eager')
    (model,) = json.loads((tmp_path / 'speed.json').read_text())['models']
    parts = sum(model['parts_ms'].values())
    assert parts < 10 * model['ms_per_step']['median'], 'nothing is compiled while a step is taken apart'
