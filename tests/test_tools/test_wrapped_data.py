"""Every tool on a config whose data sets stand in wrappers, nested: as a user runs them."""

import json
import runpy
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image

from mgfe_ris.apis import load_config
from mgfe_ris.datasets.synthetic import write_refshapes

REPO = Path(__file__).parents[2]
WRAPPED = """
_base_ = {base!r}
a = dict(type='ReferringDataset', data_root={root!r}, ann_folder='refshapes', split_by='unc')
b = dict(a, ann_folder='refshapesg', split_by='umd')
train = [dict(part, split='train', pipeline=_base_.pipeline) for part in (a, b)]
tested = [dict(part, split='val', pipeline=_base_.test_pipeline, per_sentence=True) for part in (a, b)]
train_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=16,
    dataset=dict(_delete_=True, type='RepeatDataset', times=2, dataset=dict(
        type='ConcatDataset', datasets=[
            train[0], dict(type='ClassBalancedDataset', oversample_thr=0.01, dataset=dict(train[1], sentence_key='sent')),
        ],
    )),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=8, batch_sampler=dict(_delete_=True, type='PhotoBatchSampler'),
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[
        tested[0], dict(type='RepeatDataset', times=1, dataset=tested[1]),
    ]),
)
test_dataloader = val_dataloader
test_cfg = dict(splits=('val',), shuffled=('val',))
train_cfg = dict(max_epochs=1)
"""  # noqa: E501


@pytest.fixture(scope='module')
def two_sets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('two')
    for flavour in ('refshapes', 'refshapesg'):
        write_refshapes(root, flavour, images=12, seed=0, size=64, progress=False)
    return root


@pytest.fixture
def config(two_sets, tmp_path, small_model, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'wrapped.py'
    base = str(REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py')
    path.write_text(WRAPPED.format(base=base, root=str(two_sets)))
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(small_model)
    cfg.dump(path)
    return path


def number(root: Path, name: str, split: str) -> tuple[int, int]:
    """Objects and sentences, from the files."""
    from mgfe_ris.datasets.readers import read_refer

    found = [r for r in read_refer(root / name, 'unc' if name == 'refshapes' else 'umd') if r.split == split]
    return len(found), sum(len(r.sentences) for r in found)


def test_train_and_test(run_here, config, two_sets, tmp_path):
    lines = run_here('train.py', config, '--work-dir', 'run')
    of = {split: [number(two_sets, name, split) for name in ('refshapes', 'refshapesg')] for split in ('train', 'val')}
    objects, sentences = (sum(pair[k] for pair in of[split]) for k, split in enumerate(('train', 'val')))
    said = '\n'.join(lines)
    assert f'EpochBasedTrainLoop: {2 * objects} samples' in said and f'ValLoop: {sentences} samples' in said
    assert (tmp_path / 'run/pictures/val_epoch_1.png').is_file()
    (best,) = (tmp_path / 'run').glob('best_*.pth')
    options = '--split', 'train', '--device', 'cpu', '--out', 'changes.json'
    run_here('analysis_tools/compare_precision.py', 'run', *options)
    assert json.loads((tmp_path / 'changes.json').read_text())['sentences'] == sum(pair[1] for pair in of['train'])
    run_here('test.py', config, best, '--out', 'out', '--show-dir', 'shown')
    report = json.loads((tmp_path / 'out/metrics.json').read_text())
    assert [part['ann_folder'] for part in report['data']['parts']] == ['refshapes', 'refshapesg']
    parts = report['protocol']['val']['parts']
    assert [(p['ann_folder'], p['split'], p['per_sentence']) for p in parts] == [
        ('refshapes', 'val', True),
        ('refshapesg', 'val', True),
    ]
    assert [p['sentence_key'] for p in report['train_protocol']['parts']] == ['raw', 'sent']
    records = [json.loads(line) for line in (tmp_path / 'out/val.jsonl').read_text().splitlines()]
    assert [r['part'] for r in records] == [0] * of['val'][0][1] + [1] * of['val'][1][1]
    assert all(Path(r['img_path']).parent.name == ('refshapes', 'refshapesg')[r['part']] for r in records)
    for part, name in enumerate(('refshapes', 'refshapesg')):  # ids are the same in both
        annotated = json.loads((two_sets / name / 'instances.json').read_text())['annotations']
        for r in records:
            if r['part'] == part:
                assert r['others'] == sum(a['image_id'] == r['img_id'] for a in annotated) - 1
    assert len(list((tmp_path / 'shown/val').iterdir())) == len(records)
    assert (tmp_path / 'out/val-shuffled.jsonl').is_file()


def test_tools_that_look_at_data(run_here, config, two_sets, tmp_path):
    of = {name: [number(two_sets, name, split) for split in ('train', 'val')] for name in ('refshapes', 'refshapesg')}
    run_here('analysis_tools/dataset_stats.py', config, '--json', 'stats.json')
    stats = json.loads((tmp_path / 'stats.json').read_text())
    assert {split: (found['objects'], found['sentences']) for split, found in stats.items()} == {
        split: tuple(sum(pair[k][n] for pair in of.values()) for n in range(2))
        for k, split in enumerate(('train', 'val'))
    }
    run_here('analysis_tools/browse_dataset.py', config, '--samples', 40, '--out', 'train.png')
    run_here('analysis_tools/browse_dataset.py', config, '--split', 'val', '--samples', 3, '--out', 'pages')
    assert Image.open(tmp_path / 'train.png').size[0] > 1000 and (tmp_path / 'pages/val_1.png').is_file()
    lines = run_here('analysis_tools/benchmark_loader.py', config, '--split', 'val', '--repeats', 1)
    assert f'index: {sum(pair[1][1] for pair in of.values())} samples' in lines[0]
    assert any(line.startswith('ratio: ') for line in lines)
    assert any('64x64' in line for line in run_here('analysis_tools/get_flops.py', config))


def test_a_report_says_what_mixed_training_left_out(two_sets, tmp_path):
    """By what the config says; where its annotations are not here, that they are not."""
    tool = runpy.run_path(str(REPO / 'tools/test.py'))
    cfg = load_config('mgfe-ris_tiny_refshapes_mixed', data_root=str(two_sets))
    init_default_scope('mmseg')
    assert 'refshapes+: no such folder' in tool['_train_protocol'](cfg)['unknown']
    del cfg.train_dataloader.dataset.datasets[1]
    parts = tool['_train_protocol'](cfg)['parts']
    assert [part['left_out'] for part in parts] == [dict(photos=0, refs=0, of=[])] * 2
    json.dumps(parts)


def test_measures_that_differ_are_not_mixed(run_here, config, model_folder, capfd, tmp_path):
    option = 'test_dataloader.dataset.datasets.0.score_at=photo'
    with pytest.raises(SystemExit) as stop:
        run_here('test.py', config, model_folder, '--out', tmp_path / 'out', '--cfg-options', option)
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith('error: ')]
    assert stop.value.code == 2 and 'differ in score_at would be mixed in one number: "photo" of refshapes' in line
    assert not (tmp_path / 'out').exists()
