"""All splits in one test, each with its own numbers."""

import json
import pickle
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData

from mgfe_ris.apis import load_config
from mgfe_ris.evaluation import summarize

TINY = Path(__file__).parents[2] / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
SPLITS = ('val', 'testA', 'testB', 'val-shuffled')


class ByLength(BaseModel):
    """Listens to nothing but the length of the sentence: so many columns from the left are the target."""

    def forward(self, inputs, data_samples, mode='tensor'):
        for sample in data_samples:
            columns = torch.arange(64) < 2 * len(sample.sentence)
            sample.pred_sem_seg = PixelData(data=columns.long().expand(1, 64, 64))
        return data_samples


@pytest.fixture(scope='module')
def run_once(refshapes, tmp_path_factory):
    """The metrics of a run, its folder, and the data set's config."""
    out = tmp_path_factory.mktemp('loop')
    cfg = load_config(TINY, data_root=str(refshapes))
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False, batch_size=4)
    runner = Runner(
        model=ByLength(),
        work_dir=str(out),
        test_dataloader=cfg.test_dataloader,
        test_evaluator=dict(type='RefSegMetric', per_sample=str(out)),
        test_cfg=cfg.test_cfg,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),  # it looks at the loop's loader
        default_scope='mmseg',
        experiment_name='test_loop',
    )
    return runner.test(), out, refshapes


def expectation(root, split: str) -> list[tuple[int, int, int]]:
    """(sent_id, intersection, union) of each sample of a split, from the files."""
    instances = json.loads((root / 'refshapes/instances.json').read_text())
    with (root / 'refshapes/refs(unc).p').open('rb') as file:
        refs = [r for r in pickle.load(file) if r['split'] == split.removesuffix('-shuffled')]
    masks = {}
    for ann in instances['annotations']:
        rle = ann['segmentation']
        rle = coco.merge(coco.frPyObjects(rle, 64, 64)) if isinstance(rle, list) else rle
        masks[ann['id']] = coco.decode(rle)
    rows = []
    for ref in refs:
        asked = ref
        if split.endswith('-shuffled'):
            photo = [r for r in refs if r['image_id'] == ref['image_id']]
            if len(photo) == 1:
                continue
            asked = photo[(photo.index(ref) + 1) % len(photo)]
        for sentence in asked['sentences']:
            pred = np.arange(64)[None] < 2 * len(sentence['raw'])
            truth = masks[ref['ann_id']] == 1
            rows.append((sentence['sent_id'], int((pred & truth).sum()), int((pred | truth).sum())))
    return rows


def test_metrics_are_named_by_split(run_once):
    metrics, _, _ = run_once
    names = ('oIoU', 'mIoU', 'P@0.5', 'P@0.6', 'P@0.7', 'P@0.8', 'P@0.9')
    assert list(metrics) == [f'{split}/{name}' for split in SPLITS for name in names]


@pytest.mark.parametrize('split', SPLITS)
def test_each_split_has_its_own_samples_and_numbers(run_once, split):
    metrics, out, root = run_once
    rows = expectation(root, split)
    records = [json.loads(line) for line in (out / f'{split}.jsonl').read_text().splitlines()]
    assert [(r['sent_id'], r['intersection'], r['union']) for r in records] == rows and rows
    expected = summarize([i for _, i, _ in rows], [u for _, _, u in rows])
    assert {name: metrics[f'{split}/{name}'] for name in expected} == pytest.approx(expected, abs=1e-9, rel=0)


def test_a_reviewed_test_says_both_numbers_of_each_split(refshapes, tmp_path):
    """From one pass: all samples, and those that the review left."""
    rows = {split: expectation(refshapes, split) for split in ('val', 'testB')}
    wrong = [sent_id for split in rows for sent_id, _, _ in rows[split][::3]]
    (tmp_path / 'wrong.json').write_text(json.dumps(dict(sent_id=wrong)))
    cfg = load_config(TINY, data_root=str(refshapes))
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.exclude = str(tmp_path / 'wrong.json')
    runner = Runner(
        model=ByLength(),
        work_dir=str(tmp_path),
        test_dataloader=cfg.test_dataloader,
        test_evaluator=dict(type='RefSegMetric', per_sample=str(tmp_path)),
        test_cfg=dict(type='SplitsTestLoop', splits=tuple(rows)),
        default_scope='mmseg',
        experiment_name='test_loop_reviewed',
    )
    metrics = runner.test()
    for split, found in rows.items():
        left = [row for row in found if row[0] not in wrong]
        assert len(left) < len(found)
        for name, part in ((split, found), (f'{split}-reviewed', left)):
            expected = summarize([i for _, i, _ in part], [u for _, _, u in part])
            assert {key: metrics[f'{name}/{key}'] for key in expected} == pytest.approx(expected, abs=1e-9, rel=0)
        lines = [json.loads(line) for line in (tmp_path / f'{split}.jsonl').read_text().splitlines()]
        assert [r['reviewed_out'] for r in lines] == [sent_id in wrong for sent_id, _, _ in found]


def test_an_unknown_split_is_refused_before_testing(refshapes, tmp_path):
    init_default_scope('mmseg')
    cfg = load_config(TINY, data_root=str(refshapes))
    cfg.test_cfg.splits = ('val', 'test')
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    runner = Runner(
        model=ByLength(),
        work_dir=str(tmp_path),
        test_dataloader=cfg.test_dataloader,
        test_evaluator=dict(type='RefSegMetric', per_sample=str(tmp_path)),
        test_cfg=cfg.test_cfg,
        default_scope='mmseg',
        experiment_name='test_loop_unknown',
    )
    with pytest.raises(ValueError, match=r"no split 'test'; there are \['testA', 'testB', 'train', 'val'\]"):
        runner.test()
    assert not list(tmp_path.glob('*.jsonl'))
