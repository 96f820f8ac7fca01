"""A training that is resumed with other settings."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from test_runner import Toy
from torch.utils.data import ConcatDataset

from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.datasets.seeded import SeededDataset
from mgfe_ris.engine import RISRunner
from mgfe_ris.engine.changed_settings import changed_samples, changes_of, samples_of, settings_as_json
from mgfe_ris.engine.checkpoints import last_checkpoint_in

BASE = dict(
    model=dict(type='Toy', loss=dict(weight=1)),
    train_dataloader=dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(data_root='data/a', split='train', pipeline=[dict(type='A', scale=(4, 4)), dict(type='B')]),
    ),
    val_dataloader=dict(num_workers=0, dataset=dict(split='val')),
    val_evaluator=dict(type='RefSegMetric'),
    train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
    optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1)),
    param_scheduler=[dict(type='PolyLR', end=2)],
    auto_scale_lr=dict(enable=False, base_batch_size=8),
    randomness=dict(seed=0),
    visualizer=dict(type='Visualizer'),
    default_hooks=dict(logger=dict(interval=50)),
    work_dir='a',
)


@pytest.mark.parametrize(
    ('options', 'decisive', 'said'),
    [
        ({'optim_wrapper.optimizer.lr': 0.5}, True, 'optim_wrapper.optimizer.lr: 0.1 -> 0.5'),
        ({'optim_wrapper.type': 'AmpOptimWrapper'}, True, '"OptimWrapper" -> "AmpOptimWrapper"'),
        ({'optim_wrapper.accumulative_counts': 4}, True, 'optim_wrapper.accumulative_counts: not set -> 4'),
        ({'param_scheduler.0.end': 4}, True, 'param_scheduler.0.end: 2 -> 4'),
        ({'train_dataloader.dataset.data_root': 'data/b'}, True, 'dataset.data_root: "data/a" -> "data/b"'),
        ({'train_dataloader.dataset.pipeline.0.scale': (8, 4)}, True, 'pipeline.0.scale.0: 4 -> 8'),
        ({'train_dataloader.dataset.pipeline': [dict(type='B')]}, True, 'train_dataloader.dataset.pipeline: [{'),
        ({'val_dataloader.dataset.split': 'testA'}, True, 'val_dataloader.dataset.split: "val" -> "testA"'),
        ({'train_dataloader.batch_size': 8}, True, 'batch_samples: 2 -> 8'),
        ({'randomness.seed': 1}, True, 'randomness.seed: 0 -> 1'),
        ({'model.loss.weight': 2}, True, 'model.loss.weight: 1 -> 2'),
        ({'auto_scale_lr.enable': True}, True, 'auto_scale_lr.enable: false -> true'),
        ({'model.init_cfg': dict(type='Pretrained', checkpoint='x.pth')}, False, 'model.init_cfg: not set ->'),
        ({'train_dataloader.num_workers': 4}, False, 'train_dataloader.num_workers: 0 -> 4'),
        ({'val_dataloader.num_workers': 4}, False, 'val_dataloader.num_workers: 0 -> 4'),
        ({'train_cfg.max_epochs': 4}, False, 'train_cfg.max_epochs: 2 -> 4'),
        ({'default_hooks.logger.interval': 1}, False, 'default_hooks.logger.interval: 50 -> 1'),
        ({'visualizer.type': 'X'}, False, 'visualizer.type'),
        ({'work_dir': 'b'}, False, 'work_dir: "a" -> "b"'),
        ({'resume': True, 'launcher': 'pytorch', 'auto_scale_lr.base_batch_size': 16}, None, ''),
    ],
)
def test_what_differs(options, decisive, said):
    cfg = Config(BASE)
    before = settings_as_json(cfg, 1)
    cfg.merge_from_dict(options)
    changes = changes_of(before, settings_as_json(cfg, 1))
    if decisive is None:
        assert not changes
        return
    assert changes[0].is_decisive == decisive and any(said in str(change) for change in changes)


def test_as_many_samples_a_step_by_other_processes():
    before = settings_as_json(Config(BASE), 2)
    cfg = Config(BASE)
    cfg.train_dataloader.batch_size = 4
    assert [str(change) for change in changes_of(before, settings_as_json(cfg, 1)) if change.is_decisive] == []
    assert changes_of(before, settings_as_json(Config(BASE), 1))[0].key == 'batch_samples'


@pytest.mark.parametrize('old', [None, 'import os', '[1]', 3, '{'])
def test_what_cannot_be_compared(old):
    assert changes_of(old, settings_as_json(Config(BASE), 1)) is None


def toy_config(epochs: int = 1, lr: float = 0.1, end: int = 4, kind: str = 'Adam', amp: bool = False, **more) -> dict:
    wrapper = dict(type='AmpOptimWrapper', dtype='bfloat16') if amp else {}
    return dict(
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type=kind, lr=lr), **wrapper),
        param_scheduler=dict(type='PolyLR', end=end, by_epoch=True, convert_to_iter_based=True),
        default_scope='mmseg',
        log_level='WARNING',
        **more,
    )


def build(folder: Path, name: str, resume: bool = True, batch: int = 2, **settings) -> RISRunner:
    cfg = toy_config(**settings)
    data = dict(
        batch_size=batch,
        dataset=[dict(inputs=torch.ones(())) for _ in range(4)],
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    named = f'changed_{folder.name}_{name}'
    written = Config(dict(cfg, train_dataloader=dict(batch_size=batch)), cfg_text=' ', filename='toy.py')
    return RISRunner(
        Toy(), str(folder), train_dataloader=data, resume=resume, cfg=written, experiment_name=named, **cfg
    )


@pytest.fixture(scope='module')
def one_epoch(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('one')
    build(folder, 'first', resume=False).train()
    assert (
        'PolyLR' in json.loads(read_checkpoint(folder / 'epoch_1.pth')['meta']['settings'])['param_scheduler']['type']
    )
    return folder


def resumed(one_epoch: Path, **settings) -> RISRunner:
    runner = build(one_epoch, f'{settings}', **settings)
    runner.choose_resumed(anyway=True)
    runner.prepare_training()
    runner.load_or_resume()
    return runner


def test_other_settings_are_refused(one_epoch):
    changed = r'optim_wrapper\.optimizer\.lr: 0\.1 -> 0\.5; param_scheduler\.end: 4 -> 6\.'
    said = rf'epoch_1\.pth is of a training with other settings: {changed} .*--resume-anyway'
    with pytest.raises(ValueError, match=said):
        build(one_epoch, 'refused', lr=0.5, end=6, epochs=6).choose_resumed()
    assert 'lr=0.1' in (one_epoch / 'toy.py').read_text(), 'and its config stays'
    build(one_epoch, 'longer', epochs=3).choose_resumed()
    build(one_epoch, 'same').choose_resumed()


def test_with_resume_anyway_the_new_rates_apply(one_epoch):
    same = resumed(one_epoch)
    assert same.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.1 * (1 - 2 / 7))
    new = resumed(one_epoch, lr=0.5, end=6)
    assert new.iter == 2 and new.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.5 * (1 - 2 / 11))
    moments = [runner.optim_wrapper.optimizer.state[runner.model.weight]['exp_avg'] for runner in (same, new)]
    assert torch.equal(*moments) and moments[0] != 0
    assert resumed(one_epoch, randomness=dict(seed=5)).seed == 5
    other = resumed(one_epoch, kind='SGD')
    assert not other.optim_wrapper.optimizer.state


def test_mixed_precision_turned_on_and_off(one_epoch, tmp_path, monkeypatch):
    monkeypatch.setattr('mmengine.optim.optimizer.amp_optimizer_wrapper.is_cuda_available', lambda: True)
    with pytest.raises(ValueError, match=r'optim_wrapper\.dtype: not set -> "bfloat16"'):
        build(one_epoch, 'amp', amp=True).choose_resumed()
    runner = resumed(one_epoch, amp=True, epochs=2)
    runner._work_dir = str(tmp_path)
    runner.train()
    assert runner.iter == 4
    off = resumed(tmp_path, epochs=3)
    off.train()
    assert off.iter == 6 and off.optim_wrapper.optimizer.state[off.model.weight]['step'] == 6


def test_batches_of_another_size_have_the_schedule_of_their_epoch(tmp_path):
    build(tmp_path, 'single', resume=False, batch=1).train()
    runner = resumed(tmp_path, batch=4, epochs=2)
    assert (runner.epoch, runner.iter) == (1, 1), 'one step an epoch, and no longer four'
    assert runner.optim_wrapper.param_groups[0]['lr'] == pytest.approx(0.1 * (1 - 1 / 3))
    runner.train()
    epochs = {path.name: read_checkpoint(path)['meta']['iter'] for path in tmp_path.glob('*.pth')}
    assert epochs == {'epoch_1.pth': 4, 'epoch_2.pth': 2}
    assert last_checkpoint_in(tmp_path).name == 'epoch_2.pth', 'more steps are not always more'


@pytest.fixture
def samples(tmp_path):
    """Of two objects, as they are or changed."""
    Image.new('RGB', (8, 8)).save(tmp_path / 'a.png')

    def read(sentence='left one', mask=((1, 1, 6, 1, 6, 6),), first=0, **settings) -> str:
        lines = [
            dict(image='a.png', sentences=[sentence], mask=mask),
            dict(image='a.png', sentences=['b', 'c'], mask=mask),
        ]
        lines = lines[first:] + lines[:first]
        (tmp_path / 'train.jsonl').write_text('\n'.join(map(json.dumps, lines)))
        data = ReferringDataset(str(tmp_path), ann_file='*.jsonl', **settings)
        return samples_of(SeededDataset(data))

    return read


def test_samples_are_told_apart_by_what_their_annotations_say(samples):
    assert samples() == samples() == '2 samples, e03ce8cc', 'with every version of Python'
    other = [samples(sentence='right one'), samples(mask=((1, 1, 5, 1, 6, 6),)), samples(first=1)]
    assert len({samples(), *other}) == 4
    assert samples(per_sentence=True).startswith('3 samples, ') and samples(indices=1).startswith('1 samples, ')
    assert samples_of(ConcatDataset([list('ab'), list('c')])) == '3 samples', 'none of ours'


def test_only_what_both_say_is_compared():
    assert changed_samples(None, dict(train='1')) == changed_samples(dict(val='1', train=3), dict(train='1')) == []
    (change,) = changed_samples(dict(train='1', val='2'), dict(train='1', val='3'))
    assert str(change) == 'val_dataloader.dataset: "2" -> "3"' and change.is_decisive
