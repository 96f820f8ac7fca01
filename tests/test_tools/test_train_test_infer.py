"""Training, testing and inference as a user runs them, on drawn photos and a very small model."""

import json
import pickle
import runpy
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from forks import run_tool_in_fork
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mgfe_ris.apis import load_config, read_weights
from mgfe_ris.checkpoint_files import write_checkpoint
from mgfe_ris.datasets.synthetic import VOCABULARY
from mgfe_ris.training_words import read_words
from mgfe_ris.visualization import read_scalars

REPO = Path(__file__).parents[2]
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
SPLITS = ('val', 'testA', 'testB', 'val-shuffled')


@pytest.fixture(scope='module')
def options(refshapes, small_model) -> list[str]:
    """``--cfg-options`` of all runs."""
    settings = {**small_model, 'data_root': refshapes, 'train_dataloader.batch_size': 16, 'train_cfg.val_interval': 1}
    settings['param_scheduler.1.end'] = 300  # epochs: a few steps all lie in the warm-up
    for loader in ('train', 'val', 'test'):
        settings |= {f'{loader}_dataloader.num_workers': 0, f'{loader}_dataloader.persistent_workers': False}
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return ['--cfg-options', *(f'{key}={value}' for key, value in texts.items())]


def run(tool: str, *args: object) -> str:
    """In a process of its own, as a user does."""
    done = run_tool_in_fork(REPO / 'tools' / tool, *args)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.fixture
def run_here(monkeypatch, request, one_thread):
    """In this process, which saves ten seconds of imports."""
    name = f'experiment_name={request.node.name}'  # mmengine shares what has the same name and second

    def run_tool(tool: str, *args: object) -> None:
        named = [*args, name] if '--cfg-options' in args and '--work-dir' in args else args
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, named)])
        runpy.run_path(str(REPO / 'tools' / tool), run_name='__main__')

    return run_tool


@pytest.fixture(scope='module')
def trained(tmp_path_factory, options) -> tuple[Path, str]:
    """The work dir of two epochs, and what was printed."""
    folder = tmp_path_factory.mktemp('runs') / 'first'
    return folder, run('train.py', TINY, '--work-dir', folder, *options, 'train_cfg.max_epochs=2')


@pytest.fixture(scope='module')
def best(trained) -> Path:
    (path,) = trained[0].glob('best_*.pth')
    return path


@pytest.fixture(scope='module')
def results(best, options, tmp_path_factory) -> Path:
    """What a test wrote: numbers, a line per sample, pictures."""
    out = tmp_path_factory.mktemp('results')
    run('test.py', TINY, best, '--work-dir', out / 'work', '--out', out, '--show-dir', out / 'pictures', *options)
    return out


def steps_per_epoch(root: Path) -> int:
    return json.loads((root / 'refshapes/summary.json').read_text())['splits']['train']['refs'] // 16


# What they write


def test_training_leaves_a_model_and_its_numbers(trained, best, refshapes):
    work_dir, printed = trained
    steps = steps_per_epoch(refshapes)
    assert [line.split('INFO - ')[1][:9] for line in printed.splitlines() if ' - epoch ' in line] == [
        'epoch 1/2',
        'epoch 2/2',
    ]
    rows = read_scalars(work_dir)
    assert [row['step'] for row in rows if 'loss' in row] == [steps, 2 * steps]
    assert all(0 < row['loss'] < 10 for row in rows if 'loss' in row)
    validations = [row for row in rows if 'oIoU' in row]
    assert [row['step'] for row in validations] == [1, 2]
    assert best.name == f'best_oIoU_epoch_{1 + int(np.argmax([row["oIoU"] for row in validations]))}.pth'
    (events,) = work_dir.glob('*/vis_data/events.out.tfevents.*')
    board = EventAccumulator(str(events)).Reload()
    assert {'loss', 'lr', 'oIoU', 'mIoU', 'P@0.5'} <= set(board.Tags()['scalars'])
    assert [event.step for event in board.Scalars('loss')] == [steps, 2 * steps]
    assert load_config(work_dir / TINY.name).train_cfg.max_epochs == 2
    assert {'the', 'red', 'ring'} <= read_words(work_dir) <= set(VOCABULARY)
    pictures = sorted(path.name for path in (work_dir / 'pictures').iterdir())
    assert pictures == ['val_epoch_1.png', 'val_epoch_2.png'] and board.Tags()['images'] == ['pictures/val']


@pytest.mark.parametrize('form', ['bare.safetensors', 'part.pth'])
def test_training_starts_from_the_weights_that_load_from_names(best, options, tmp_path, run_here, form):
    """At a learning rate of 0 they are the weights that training ends with."""
    state = read_weights(best)
    if form == 'part.pth':
        state = {name: value for name, value in state.items() if not name.startswith('decode_head')}
        state['decode_head_of_another.weight'] = torch.zeros(3)
    path = write_checkpoint(dict(model=state) if form == 'part.pth' else state, tmp_path / form)
    rate = ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0.0']
    run_here('train.py', TINY, '--work-dir', tmp_path / 'work', *options, *rate, f'load_from={path}')
    ended = read_weights(tmp_path / 'work/epoch_1.pth')
    moving = ('running_mean', 'running_var', 'num_batches_tracked')
    fixed = [name for name in state if name in ended and not name.endswith(moving)]
    assert len(fixed) > 50 and all(torch.equal(ended[name], state[name]) for name in fixed)
    if form == 'part.pth':
        assert not torch.equal(ended['decode_head.classify.weight'], read_weights(best)['decode_head.classify.weight'])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_resuming_goes_on_where_training_stopped(trained, options, refshapes, tmp_path, run_here, monkeypatch):
    """In a copy of the folder, from which nothing leads back: the first one is left as it was."""
    work_dir = shutil.copytree(trained[0], tmp_path / 'copy')
    before = contents(trained[0])
    state = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    info = state['message_hub']['runtime_info']
    assert Path(info['best_ckpt']).parent == trained[0], 'the checkpoint names the first folder, and the test is a dud'
    info['best_score'] = 0.0  # the next one is better: it takes the place of the former best
    torch.save(state, work_dir / 'epoch_2.pth')
    monkeypatch.setattr('mmengine.runner.runner._load_checkpoint', lambda *_, **__: pytest.fail('read unsafely'))
    run_here('train.py', TINY, '--work-dir', work_dir, '--resume', *options, 'train_cfg.max_epochs=3')
    printed = ''.join(path.read_text() for path in sorted(work_dir.glob('*/*.log'))[1:])
    assert 'epoch 3/3' in printed and 'epoch 1/3' not in printed and 'epoch 2/3' not in printed
    steps = steps_per_epoch(refshapes)
    rows = read_scalars(work_dir)
    assert [row['step'] for row in rows if 'loss' in row] == [steps, 2 * steps, 3 * steps]
    assert [row['step'] for row in rows if 'oIoU' in row] == [1, 2, 3]
    rates = [row['lr'] for row in rows if 'loss' in row]
    assert rates[0] < rates[1] < rates[2], 'the warm-up goes on'
    assert [path.name for path in work_dir.glob('*.pth') if 'best' not in path.name] == ['epoch_3.pth']
    assert [path.name for path in work_dir.glob('best_*.pth')] == ['best_oIoU_epoch_3.pth']
    assert contents(trained[0]) == before
    run_here('analysis_tools/plot_curves.py', work_dir, '--out', tmp_path / 'curves.png')
    assert Image.open(tmp_path / 'curves.png').format == 'PNG'


def test_a_copied_folder_whose_last_checkpoint_is_gone(trained, options, tmp_path, run_here):
    """The newest in the folder is taken; the best of before, which is not there, is looked for nowhere else."""
    work_dir = shutil.copytree(trained[0], tmp_path / 'copy')
    before = contents(trained[0])
    (work_dir / 'last_checkpoint').write_text(str(trained[0] / 'epoch_7.pth'))
    for path in work_dir.glob('best_*.pth'):
        path.unlink()
    run_here('train.py', TINY, '--work-dir', work_dir, '--resume', *options, 'train_cfg.max_epochs=2')
    (log,) = [path.read_text() for path in sorted(work_dir.glob('*/*.log'))[1:]]
    assert f'Load checkpoint from {work_dir}/epoch_2.pth' in log and 'Epoch(train)' not in log
    assert contents(trained[0]) == before


def test_a_training_that_is_stopped_says_how_to_go_on(options, tmp_path, run_here, monkeypatch, capsys):
    def stop(self, *_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr('mgfe_ris.models.segmentor.ReferringSegmentor.train_step', stop)
    with pytest.raises(SystemExit) as ended:
        run_here('train.py', TINY, '--work-dir', tmp_path, *options, 'train_cfg.max_epochs=1')
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 130
    assert said.startswith('stopped by SIGINT in epoch 1, after step 0. To go on: python ')
    assert said.endswith(' --resume')


def test_a_training_that_diverges_stops_and_says_where(options, tmp_path, run_here, capsys):
    much = ['optim_wrapper.optimizer.lr=1e30', 'param_scheduler.0.end=1', 'train_cfg.max_epochs=1']
    with pytest.raises(SystemExit) as ended:
        run_here('train.py', TINY, '--work-dir', tmp_path, *options, *much)
    said = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 1 and said.startswith('error: step 2, epoch 1: the loss is NaN or infinite (loss nan, ')
    assert '/images/refshapes/' in said and not list(tmp_path.glob('*.pth'))


def test_a_schedule_that_ends_elsewhere_than_the_training(options, tmp_path, monkeypatch):
    tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='train')
    for end, effect in ((1, 'stays as it is from there on'), (2, None), (9, 'does not come down to its end')):
        more = ['train_cfg.max_epochs=2', f'param_scheduler.1.end={end}', f'experiment_name=ends_at_{end}']
        monkeypatch.setattr(
            sys, 'argv', ['train.py', str(TINY), '--work-dir', str(tmp_path / str(end)), *options, *more]
        )
        tool['prepare'](tool['parse_args']())
        (log,) = tmp_path.glob(f'{end}/*/*.log')
        said = [line for line in log.read_text().splitlines() if 'param_scheduler ends' in line]
        assert bool(said) == bool(effect)
        if effect:
            assert f'ends at epoch {end}, the training at 2: the learning rate {effect}. Set end' in said[0]


def test_mixed_precision_on_this_machine(options, tmp_path, run_here, capfd):
    few = [
        'train_cfg.max_epochs=1',
        'train_dataloader.dataset.indices=8',
        'train_dataloader.batch_size=4',
        'val_dataloader.dataset.indices=2',
    ]
    run_here('train.py', TINY, '--work-dir', tmp_path, '--amp', 'bf16', *options, *few)
    losses = [row['loss'] for row in read_scalars(tmp_path) if 'loss' in row]
    assert len(losses) == 1 and 0 < losses[0] < 10
    assert all(
        value.isfinite().all()
        for value in torch.load(tmp_path / 'epoch_1.pth', weights_only=False)['state_dict'].values()
    )


def test_metrics_of_every_split(trained, results, best):
    report = json.loads((results / 'metrics.json').read_text())
    names = ('oIoU', 'mIoU', 'P@0.5', 'P@0.6', 'P@0.7', 'P@0.8', 'P@0.9')
    assert list(report['metrics']) == [f'{split}/{name}' for split in SPLITS for name in names]
    assert report['config'] == str(TINY) and report['checkpoint'] == str(best)
    assert report['truncated_sentences'] == report['unknown_sentences'] == 0
    same = dict(sentence_key='raw', score_at='input', no_target=False, apart_from=[])
    assert report['protocol'] == {name: dict(same, per_sentence=True, shared_photos={}) for name in SPLITS}
    assert report['train_protocol'] == dict(same, per_sentence=False)
    assert report['evaluator'] == [dict(type='RefSegMetric')] and report['input_size'] == [64, 64]
    in_training = max(row['oIoU'] for row in read_scalars(trained[0]) if 'oIoU' in row)
    assert report['metrics']['val/oIoU'] == pytest.approx(in_training, abs=0.01)


def test_a_config_that_says_resume_tests_the_checkpoint_that_was_named(trained, best, options, tmp_path, run_here):
    """A training with --resume leaves such a config; mmengine would load the newest checkpoint over the named one."""
    work_dir = shutil.copytree(trained[0], tmp_path / 'work')
    (work_dir / 'last_checkpoint').write_text(str(tmp_path / 'not_to_be_read.pth'))
    before = (work_dir / TINY.name).read_text()
    splits = ['test_cfg.splits=val,', 'test_cfg.shuffled=()']
    named = [*options, 'resume=True', f'work_dir={work_dir}', *splits]
    run_here('test.py', TINY, best, '--out', tmp_path / 'out', *named)
    assert (work_dir / TINY.name).read_text() == before, "the training's config stays as it was"
    # told to work where last_checkpoint lies, it would be read if resume were heeded
    run_here('test.py', TINY, best, '--work-dir', work_dir, '--out', tmp_path / 'out', *named)
    metrics = json.loads((tmp_path / 'out/metrics.json').read_text())['metrics']
    in_training = max(row['oIoU'] for row in read_scalars(trained[0]) if 'oIoU' in row)
    assert metrics['val/oIoU'] == pytest.approx(in_training, abs=0.01)


def test_a_line_and_a_picture_of_every_sentence(results, refshapes):
    sentences = json.loads((refshapes / 'refshapes/summary.json').read_text())['splits']
    for split in SPLITS:
        records = [json.loads(line) for line in (results / f'{split}.jsonl').read_text().splitlines()]
        if split in sentences:
            assert len(records) == sentences[split]['sentences']
        names = {f'{Path(r["img_path"]).stem}_{r["sent_id"]}.png' for r in records}
        assert len(names) == len(records) > 0
        assert {path.name for path in (results / 'pictures' / split).iterdir()} == names
    plain, shuffled = (
        {(r['sent_id'], r['ref_id']) for r in map(json.loads, (results / f'{split}.jsonl').read_text().splitlines())}
        for split in ('val', 'val-shuffled')
    )
    assert not plain & shuffled


def test_a_grid_of_results(results, tmp_path, run_here, capfd):
    run_here('analysis_tools/results_grid.py', results / 'val.jsonl', '--out', tmp_path / 'grid.png', '--samples', 4)
    with Image.open(tmp_path / 'grid.png') as grid:
        assert grid.width == 2 * (3 * (192 + 6) + 12)
    (tmp_path / 'none.jsonl').touch()
    with pytest.raises(SystemExit) as stop:
        run_here('analysis_tools/results_grid.py', tmp_path / 'none.jsonl', '--out', tmp_path / 'x.png')
    assert stop.value.code == 2 and 'none.jsonl: no samples' in capfd.readouterr().err


def test_an_analysis_of_results(trained, results, tmp_path, run_here, capfd):
    of_models = [f'one={results / "val.jsonl"}', f'two={results / "val.jsonl"}']
    tool = 'analysis_tools/analyze_results.py'
    run_here(tool, *of_models, '--model', trained[0], '--samples', 3, '--out', tmp_path / 'x')
    assert 'wrote factors.png, side_by_side.png, stages.png, worst.png' in capfd.readouterr().out
    sizes = {path.stem: Image.open(path).size for path in (tmp_path / 'x').iterdir()}
    assert sizes['side_by_side'][0] == 3 * 198 and sizes['stages'][0] == 5 * 198 + 12
    for wrong, said in (
        ([results / 'val.jsonl', results / 'val.jsonl'], 'two of the same name'),
        ([*of_models[:1], f'b={results / "testA.jsonl"}'], 'b was tested on other samples than one'),
        ([tmp_path / 'none.jsonl'], 'none.jsonl'),
    ):
        with pytest.raises(SystemExit) as stop:
            run_here(tool, *wrong, '--out', tmp_path / 'y')
        assert stop.value.code == 2 and said in capfd.readouterr().err and not (tmp_path / 'y').exists()


@pytest.mark.parametrize('model', ['work dir', 'checkpoint'])
def test_inference_with_what_training_left(trained, best, results, refshapes, tmp_path, run_here, model):
    """As ``tools/test.py`` found it, where the drawn photos are of the input's size."""
    records = [json.loads(line) for line in (results / 'val.jsonl').read_text().splitlines()]
    photo = records[0]['img_path']
    asked = [record for record in records if record['img_path'] == photo]
    named = trained[0] if model == 'work dir' else best
    texts = [record['sentence'] for record in asked]
    run_here('infer.py', photo, '--text', *texts, '--model', named, '--out', tmp_path, '--device', 'cpu')
    lines = [json.loads(line) for line in (tmp_path / 'results.jsonl').read_text().splitlines()]
    assert [line['sentence'] for line in lines] == texts
    for line, record in zip(lines, asked, strict=True):
        mask = np.asarray(Image.open(tmp_path / f'masks/{line["name"]}.png')) > 0
        np.testing.assert_array_equal(mask, coco_mask.decode(line['rle']))
        assert (mask != coco_mask.decode(record['pred'])).mean() < 0.01  # another batch rounds otherwise


def test_flags_of_training(tmp_path, monkeypatch):
    tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='train')
    published = REPO / 'configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py'
    monkeypatch.setattr(sys, 'argv', ['train.py', str(published), '--from-scratch', '--auto-scale-lr', '--resume'])
    cfg = tool['build_config'](tool['parse_args']())
    assert cfg.auto_scale_lr.enable and cfg.resume and cfg.work_dir == 'work_dirs/mgfe-ris_swin-base_refcoco'
    assert cfg.model.text_encoder.pretrained is None and cfg.optim_wrapper.type == 'OptimWrapper'


def test_cfg_options_may_be_given_more_than_once(monkeypatch):
    tool = runpy.run_path(str(REPO / 'tools/train.py'), run_name='train')
    options = [
        '--cfg-options',
        'randomness.seed=1',
        'train_cfg.max_epochs=2',
        '--cfg-options',
        'train_cfg.max_epochs=3',
    ]
    monkeypatch.setattr(sys, 'argv', ['train.py', str(TINY), *options])
    cfg = tool['build_config'](tool['parse_args']())
    assert cfg.randomness.seed == 1 and cfg.train_cfg.max_epochs == 3


# What they say of bad input


@pytest.fixture
def refused(run_here, capfd):
    """Runs a tool that must stop with status 2 and one line; returns the line."""

    def run_and_read(tool: str, *args: object) -> str:
        with pytest.raises(SystemExit) as stop:
            run_here(tool, *args)
        out, err = capfd.readouterr()
        assert stop.value.code == 2
        assert Counter('error: ' in line for line in err.splitlines())[True] == 1, err
        last = err.splitlines()[-1]
        assert last.startswith('error: ') and 'Traceback' not in err
        assert 'Epoch(train)' not in out + err and 'Epoch(test)' not in out + err
        return last

    return run_and_read


def test_training_on_data_that_is_not_there(refused, options, tmp_path):
    settings = ['--work-dir', tmp_path / 'work', *options]
    line = refused('train.py', TINY, *settings, f'data_root={tmp_path}/nowhere')
    assert f'{tmp_path}/nowhere/refshapes: no such folder. Set data_root' in line
    line = refused('train.py', TINY, *settings, 'val_dataloader.dataset.split=valid')
    assert "no split 'valid'; there are ['testA', 'testB', 'train', 'val']" in line
    line = refused('train.py', TINY, *settings, f'load_from={tmp_path}/gone.pth')
    assert f'{tmp_path}/gone.pth: no such checkpoint' in line


def test_an_option_without_a_value(refused):
    assert refused('train.py', TINY, '--cfg-options', 'data_root').endswith('data_root: expected key=value')


@pytest.mark.parametrize('tool', ['train.py', 'analysis_tools/get_flops.py', 'analysis_tools/browse_dataset.py'])
def test_an_option_that_nothing_reads(refused, tool):
    line = refused(tool, TINY, '--cfg-options', 'batch_size=2')
    assert 'nothing reads this key; did you mean train_dataloader.batch_size or' in line
    line = refused(tool, TINY, '--cfg-options', 'train_cfg.max_epochs=abc')
    assert line.endswith('train_cfg.max_epochs=abc: expected a whole number, 1 or more, not abc')


def test_resuming_from_weights_alone(refused, best, options, tmp_path):
    path = write_checkpoint(read_weights(best), tmp_path / 'x.safetensors')
    line = refused('train.py', TINY, '--work-dir', tmp_path / 'work', *options, f'load_from={path}', 'resume=True')
    assert f'{path} holds weights only, and nothing to resume' in line


def test_resuming_another_model(refused, trained, options, tmp_path):
    shutil.copy(trained[0] / 'epoch_2.pth', tmp_path)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_2.pth'))
    line = refused('train.py', TINY, '--work-dir', tmp_path, '--resume', *options, 'model.decode_head.hidden=24')
    assert 'epoch_2.pth does not fit the model of the config' in line


def test_resuming_with_other_settings(refused, trained, options, tmp_path):
    shutil.copy(trained[0] / 'epoch_2.pth', tmp_path)
    line = refused('train.py', TINY, '--work-dir', tmp_path, '--resume', *options, 'optim_wrapper.optimizer.lr=0.5')
    assert 'of a training with other settings: optim_wrapper.optimizer.lr: 0.002 -> 0.5. ' in line
    assert line.endswith('--resume-anyway') and [path.name for path in tmp_path.glob('*.pth')] == ['epoch_2.pth']


def test_resuming_with_other_annotations(refused, run_here, trained, options, refshapes, tmp_path, capfd):
    """The same files, in which an object has another sentence. An older checkpoint says nothing of its samples."""
    data = shutil.copytree(refshapes, tmp_path / 'data')
    (file,) = data.glob('refshapes/refs(*).p')
    refs = pickle.loads(file.read_bytes())
    next(ref for ref in refs if ref['split'] == 'train')['sentences'][0]['raw'] = 'the other one'
    file.write_bytes(pickle.dumps(refs))
    work = tmp_path / 'work'
    work.mkdir()
    shutil.copy(trained[0] / 'epoch_2.pth', work)
    checkpoint = torch.load(work / 'epoch_2.pth', weights_only=False)
    settings = json.loads(checkpoint['meta']['settings'])
    checkpoint['meta']['settings'] = json.dumps(settings).replace(str(refshapes), str(data))  # as if it lay there
    torch.save(checkpoint, work / 'epoch_2.pth')
    asked = ['train.py', TINY, '--work-dir', work, '--resume', *options, f'data_root={data}']
    line = refused(*asked)
    assert 'of a training with other samples: train_dataloader.dataset: "' in line and line.endswith('--resume-anyway')
    assert 'val_dataloader' not in line
    run_here(*asked[:4], '--resume-anyway', *asked[5:], 'train_cfg.max_epochs=3')
    assert (work / 'epoch_3.pth').is_file()
    del checkpoint['meta']['samples_of']
    (work / 'epoch_3.pth').unlink()
    torch.save(checkpoint, work / 'epoch_2.pth')
    capfd.readouterr()
    run_here(*asked)
    assert 'epoch_2.pth does not say its samples' in ''.join(capfd.readouterr())


def test_a_checkpoint_of_another_tokenizer(refused, best, options, tmp_path):
    checkpoint = torch.load(best, weights_only=False)
    checkpoint['state_dict']['data_preprocessor.vocabulary'] += 1
    torch.save(dict(state_dict=checkpoint['state_dict']), tmp_path / 'other.pth')
    line = refused('test.py', TINY, tmp_path / 'other.pth', '--work-dir', tmp_path, *options)
    assert 'other.pth was trained with another tokenizer' in line


def test_weights_that_are_no_numbers(refused, best, options, tmp_path):
    """Training, testing, segmenting and handing on refuse them, and name the first."""
    checkpoint = torch.load(best, weights_only=False)
    checkpoint['state_dict']['decode_head.classify.bias'][1] = float('nan')
    path = tmp_path / 'best_oIoU_epoch_1.pth'
    torch.save(checkpoint, path)
    shutil.copy(best.parent / TINY.name, tmp_path)
    Image.new('RGB', (64, 64)).save(tmp_path / 'x.png')
    settings = ['--work-dir', tmp_path / 'work', *options]
    for tool, *args in (
        ('train.py', TINY, *settings, f'load_from={path}'),
        ('test.py', TINY, path, *settings),
        ('infer.py', tmp_path / 'x.png', '--text', 'ring', '--model', tmp_path, '--out', tmp_path / 'out'),
        ('model_converters/mgfe2folder.py', tmp_path, '--out', tmp_path / 'out'),
    ):
        line = refused(tool, *args)
        assert f'{path}: 1 of the 2 numbers of decode_head.classify.bias are NaN or infinite' in line
    assert not (tmp_path / 'out').exists()


def test_training_on_broken_data(refused, options, refshapes, tmp_path):
    root = shutil.copytree(refshapes, tmp_path / 'data')
    settings = ['--work-dir', tmp_path / 'work', *options, f'data_root={root}']
    (root / 'images/refshapes/000001.jpg').unlink()
    line = refused('train.py', TINY, *settings)
    assert '1 photos are missing; the first is' in line and '000001.jpg' in line
    (root / 'refshapes/refs(unc).p').write_bytes(b'cos\nsystem\n(S"touch ran"\ntR.')
    line = refused('train.py', TINY, *settings)
    assert 'refs(unc).p: the file asks for os.system' in line


def test_an_unknown_config(refused, tmp_path):
    line = refused('train.py', 'mgfe-ris_tny_refshapes')
    assert 'mgfe-ris_tny_refshapes: no such config file or folder.' in line and 'mgfe-ris_tiny_refshapes' in line


def test_testing_bad_checkpoints(refused, options, best, tmp_path):
    settings = ['--work-dir', tmp_path / 'work', *options]
    assert 'gone.pth: no such checkpoint' in refused('test.py', TINY, tmp_path / 'gone.pth', *settings)
    line = refused('test.py', TINY, best, *settings, 'model.decode_head.hidden=24')
    assert f'{best} does not fit the model of the config' in line and 'decode_head.' in line
    (tmp_path / 'html.pth').write_text('<html>')
    assert 'html.pth: not a checkpoint' in refused('test.py', TINY, tmp_path / 'html.pth', *settings)


def test_testing_a_split_that_is_not_there(refused, options, best, tmp_path):
    line = refused('test.py', TINY, best, '--work-dir', tmp_path, *options, 'test_cfg.splits=val,test')
    assert "no split 'test'; there are" in line
