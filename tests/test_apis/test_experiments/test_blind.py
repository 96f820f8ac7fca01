"""Baselines that do not listen: their masks against the files, and what they write against what a test would."""

import json
import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
import pytest

from mgfe_ris.apis import load_config, measure_blind
from mgfe_ris.apis.experiments.blind import TrainingPrior
from mgfe_ris.datasets.synthetic import write_refshapes
from mgfe_ris.visualization import decode_mask, read_results


@pytest.fixture(scope='module')
def large(tmp_path_factory) -> Path:
    """Photos that are larger than the input of the tiny configs, 64 px."""
    root = tmp_path_factory.mktemp('large')
    write_refshapes(root, 'refshapes', images=24, seed=0, size=96, progress=False)
    path = root / 'refshapes/instances.json'
    instances = json.loads(path.read_text())
    whole = [[0, 0, 96, 0, 96, 96, 0, 96]]
    instances['annotations'] += [
        dict(id=10**6 + i, image_id=image['id'], category_id=1, iscrowd=crowd, segmentation=mask)
        for i, image in enumerate(instances['images'])
        for crowd, mask in ((1, whole), (0, [[1, 1, 5, 5]]))  # a crowd, and a polygon of two points
    ]
    path.write_text(json.dumps(instances))
    return root


def largest_of(root: Path) -> dict[int, np.ndarray]:
    """By photo, from the file."""
    masks = defaultdict(list)
    for item in json.loads((root / 'refshapes/instances.json').read_text())['annotations']:
        if item['id'] < 10**6:
            parts = item['segmentation']
            rle = coco.merge(coco.frPyObjects(parts, 96, 96)) if isinstance(parts, list) else parts
            rle = coco.frPyObjects(rle, 96, 96) if isinstance(rle['counts'], list) else rle
            masks[item['image_id']].append(coco.decode(rle) > 0)
    return {photo: max(of_photo, key=np.sum) for photo, of_photo in masks.items()}


def test_the_largest_object_at_the_size_of_the_photo(large, tmp_path):
    options = {'data_root': str(large), 'test_dataloader.dataset.score_at': 'photo', 'test_cfg.splits': ('val',)}
    metrics = measure_blind(load_config('mgfe-ris_tiny_refshapes', options), 'largest', tmp_path)
    records, largest = read_results(tmp_path / 'val.jsonl'), largest_of(large)
    for record in records:
        found, truth = decode_mask(record['pred']), decode_mask(record['truth'])
        assert np.array_equal(found, largest[record['img_id']])
        assert record['intersection'] == (found & truth).sum() and record['union'] == (found | truth).sum()
    assert metrics['val/mIoU'] == pytest.approx(100 * np.mean([record['iou'] for record in records]))
    assert 0 < metrics['val/P@0.9'] < 100, 'some sentences are about the largest object, and some are not'
    with open(large / 'refshapes/refs(unc).p', 'rb') as file:
        refs = pickle.load(file)
    assert len(records) == sum(len(ref['sentences']) for ref in refs if ref['split'] == 'val')
    assert (tmp_path / 'val-shuffled.jsonl').is_file() and 'val-shuffled/oIoU' in metrics


def test_a_mask_goes_the_way_of_the_truth(large, tmp_path):
    """Stretched to the input, where the truth is: an object that is the largest itself is met pixel by pixel."""
    options = {'data_root': str(large), 'test_cfg.splits': ('val',), 'test_cfg.shuffled': ()}
    metrics = measure_blind(load_config('mgfe-ris_tiny_refshapes', options), 'largest', tmp_path)
    records = read_results(tmp_path / 'val.jsonl')
    assert {tuple(record[key]['size']) for record in records for key in ('pred', 'truth')} == {(64, 64)}
    assert metrics['val/P@0.9'] == 100 * np.mean([record['pred'] == record['truth'] for record in records]) > 0


def test_the_prior_is_the_mean_mask_cut_where_it_fits_best():
    """Two of three targets are the left half of their photo, one is its right half: the left half is kept."""
    left = np.zeros((64, 32), np.uint8)
    left[:, :16] = 1
    masks = [left, 1 - left, left]
    samples = [dict(img_path=str(i), sentences=['a'], gt_seg_map=mask) for i, mask in enumerate(masks)]
    prior = TrainingPrior(samples)
    assert prior.map.shape == (32, 32) and prior.map[:, :16] == pytest.approx(2 / 3)
    assert prior.map[:, 16:] == pytest.approx(1 / 3) and 1 / 3 < prior.level <= 2 / 3
    found = prior(dict(height=96, width=320))
    assert found.shape == (96, 320) and found[:, :150].all() and not found[:, 170:].any()


def test_the_level_is_the_best_of_all():
    random = np.random.default_rng(0)
    masks = [np.zeros((40, 50), np.uint8) for _ in range(12)]
    for mask in masks:
        y, x = random.integers(0, 25, 2)
        mask[y : y + random.integers(5, 20), x : x + random.integers(5, 25)] = 1
    prior = TrainingPrior([dict(img_path=str(i), sentences=['a'], gt_seg_map=mask) for i, mask in enumerate(masks)])
    scores = []
    for level in prior.levels:
        kept = prior._stretched((40, 50)) >= level
        scores.append(np.mean([(kept & (mask == 1)).sum() / (kept | (mask == 1)).sum() for mask in masks]))
    assert scores[list(prior.levels).index(prior.level)] == max(scores) > scores[0]


def test_the_prior_knows_the_training_alone(refshapes, tmp_path):
    options = {'data_root': str(refshapes), 'test_cfg.splits': ('val', 'testA'), 'test_cfg.shuffled': ()}
    measure_blind(load_config('mgfe-ris_tiny_refshapes', options), 'prior', tmp_path)
    masks = {json.dumps(r['pred']) for split in ('val', 'testA') for r in read_results(tmp_path / f'{split}.jsonl')}
    assert len(masks) == 1, 'all photos are of one size'
    assert 0 < decode_mask(json.loads(masks.pop())).mean() < 1


def test_rows_have_no_largest_object(refshapes, tmp_path):
    photo = next(path for path in (refshapes / 'images').rglob('*') if path.is_file())
    row = dict(image=photo.name, sentence='a', segmentation=[[1, 1, 9, 1, 9, 9]])
    (tmp_path / 'rows.jsonl').write_text(''.join(json.dumps(row | dict(split=s)) + '\n' for s in ('train', 'val')))
    part = dict(data_root=str(tmp_path), ann_file='rows.jsonl', ann_folder=None, split_by=None)
    part['img_folder'] = str(photo.parent)
    options = {f'{name}_dataloader.dataset.{key}': v for name in ('train', 'test') for key, v in part.items()}
    options |= {'test_cfg.splits': ('val',), 'test_cfg.shuffled': ()}
    with pytest.raises(ValueError, match=r'rows\.jsonl: rows do not say what else is in a photo'):
        measure_blind(load_config('mgfe-ris_tiny_refshapes', options), 'largest', tmp_path)
