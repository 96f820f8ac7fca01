"""Several data sets as one: which sample is whose, what is said of the parts, and whose photos are left out."""

import json
import pickle
from collections import Counter
from pathlib import Path

import mmengine.dataset
import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import init_default_scope
from PIL import Image
from torch.utils.data import ConcatDataset as TorchConcatDataset
from torch.utils.data import Subset

from mgfe_ris.data_parts import config_parts, lazy, locate, parts_of, split_names, split_of, with_changed_parts
from mgfe_ris.datasets import ConcatDataset, MixedDataset, PhotoBatchSampler, ReferringDataset, RepeatDataset
from mgfe_ris.datasets.combined import photo_names

SIDE = 20
MASK = [[2, 2, 9, 2, 9, 9, 2, 9]]
PACKED = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=('ref_id',)),
]


def write_refs(root: Path, name: str, refs: list[tuple[str, int, str]], categories: list[int] | None = None) -> dict:
    """(split, COCO's number of the photo, sentence) of each ref -> the config of the data set."""
    (root / name).mkdir(parents=True)
    (root / 'images').mkdir(exist_ok=True)
    photos = sorted({photo for _, photo, _ in refs})
    images = [dict(id=i, file_name=f'COCO_train2014_{i:012}.jpg', height=SIDE, width=SIDE) for i in photos]
    annotations, items = [], []
    for n, (split, photo, sentence) in enumerate(refs):
        categories_of = {} if categories is None else dict(category_id=categories[n])
        annotations.append(dict(id=n, image_id=photo, segmentation=MASK, **categories_of))
        told = [dict(sent_id=n, sent=sentence, raw=sentence)]
        items.append(dict(ref_id=n, ann_id=n, image_id=photo, split=split, sentences=told))
    for image in images:
        Image.new('RGB', (SIDE, SIDE)).save(root / 'images' / image['file_name'])
    (root / name / 'instances.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    (root / name / 'refs(unc).p').write_bytes(pickle.dumps(items))
    return dict(type='ReferringDataset', data_root=str(root), ann_folder=name, split_by='unc')


def write_rows(root: Path, photos: dict[str, list[str]]) -> dict:
    """Names of photos by split -> the config of the data set; the file says no ids, so that photos count from 0."""
    for split, names in photos.items():
        for name in names:
            (root / 'images' / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (SIDE, SIDE)).save(root / 'images' / name)
        rows = [json.dumps(dict(image=name, sentences=name, mask=MASK)) for name in names]
        (root / f'{split}.jsonl').write_text('\n'.join(rows))
    return dict(type='ReferringDataset', data_root=str(root), ann_file='*.jsonl')


def told(dataset) -> list[str]:
    places = (locate(dataset, i) for i in range(len(dataset)))
    return [sentence for part, i in places for sentence in part.get_data_info(i)['sentences']]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


@pytest.fixture
def two(tmp_path) -> list[dict]:
    """Of one split each; their photos have the same numbers, and their refs the same ids."""
    return [
        write_refs(tmp_path, name, [('train', 1, f'{name} 1'), ('train', 1, f'{name} 2'), ('train', 2, f'{name} 3')])
        for name in 'ab'
    ]


# Wrappers


def test_a_sample_is_found_through_all_wrappers(two):
    a, b = (ReferringDataset(**{k: v for k, v in one.items() if k != 'type'}, pipeline=PACKED) for one in two)
    ours = ConcatDataset([Subset(a, [2, 0]), RepeatDataset(b, 2), dict(two[0], lazy_init=True, pipeline=PACKED)])
    expected = ['a 3', 'a 1', 'b 1', 'b 2', 'b 3', 'b 1', 'b 2', 'b 3', 'a 1', 'a 2', 'a 3']
    assert told(ours) == expected and parts_of(ours)[:2] == [a, b]
    assert told(Subset(ours, [4, -1])) == ['b 3', 'a 3']
    assert told(TorchConcatDataset([Subset(ours, np.array([0])), b])) == ['a 3', 'b 1', 'b 2', 'b 3']
    sample = ours[5]['data_samples']
    assert (sample.ref_id, sample.part) == (0, 1), 'the ids of two sets are the same, the part tells them apart'
    assert split_of(Subset(ours, [0])) == 'train'
    with pytest.raises(TypeError, match='Odd does not tell which of its parts'):
        locate(type('Odd', (), dict(dataset=a))(), 0)


def test_batches_of_a_photo_end_where_the_part_does(two):
    """The last photo of one data set and the first of the next have the same number."""
    one = [dict(part, split='train', per_sentence=True) for part in two]
    dataset = ConcatDataset([dict(one[0], indices=2), one[1]])
    sampler = PhotoBatchSampler(DefaultSampler(dataset, shuffle=False), 8)
    assert list(sampler) == [[0, 1], [2, 3], [4]] and len(sampler) == 3
    with pytest.raises(ValueError, match='list does not tell the photo of a sample'):
        PhotoBatchSampler(DefaultSampler(ConcatDataset([Subset([1, 2], [0])], lazy_init=True), shuffle=False), 8)


def test_parts_may_differ_in_split_and_protocol_and_say_so(tmp_path):
    one = write_refs(tmp_path, 'a', [('train', 1, 'a'), ('val', 1, 'b')])
    rows = write_rows(tmp_path / 'own', {'train': ['x.png'], 'test': ['y.png']})
    dataset = ConcatDataset([one, dict(rows, split='test', sentence_key='sent', no_target=True)])
    meta = dataset.metainfo
    assert meta['split'] == 'train+test' and meta['classes'] == ('background', 'target')
    first, second = meta['protocol']['parts']
    assert first['ann_folder'] == 'a' and first['shared_photos'] == dict(val=1) and first['sentence_key'] == 'raw'
    assert second['ann_file'] == '*.jsonl' and second['split'] == 'test' and second['no_target'] is True
    with pytest.raises(ValueError, match=r"differ in classes of their metainfo: .*'target'.* and \('x',\)"):
        ConcatDataset([one, dict(rows, split='test', metainfo=dict(classes=('x',)))])
    assert len(ConcatDataset([one, dict(rows, metainfo=dict(classes=('x',)))], ignore_keys='classes')) == 2
    with pytest.raises(ValueError, match='datasets is empty'):
        ConcatDataset([])


def test_rare_categories_come_more_often(tmp_path):
    refs = [('train', i, f'{i}') for i in range(8)]
    part = write_refs(tmp_path, 'a', refs, categories=[7] * 7 + [3])
    own = write_rows(tmp_path / 'own', {'train': ['x.png']})
    dataset = mmengine.dataset.ClassBalancedDataset(
        dict(type='ConcatDataset', datasets=[part, dict(type='RepeatDataset', times=1, dataset=own)]),
        oversample_thr=0.4,
    )
    # of 9 samples one has category 3: sqrt(0.4 * 9) = 1.9 times, rounded up; a row has no category
    assert Counter(told(dataset)) == {**{f'{i}': 1 for i in range(7)}, '7': 2, 'x.png': 1}


def test_configs(two):
    nested = dict(type='ConcatDataset', datasets=[two[0], dict(type='RepeatDataset', times=2, dataset=two[1])])
    assert config_parts(nested) == two and config_parts(two[0]) == [two[0]]
    changed = with_changed_parts(nested, split='val')
    assert [part['split'] for part in config_parts(changed)] == ['val', 'val'] and 'split' not in two[0]
    waiting = lazy(nested)
    assert waiting['lazy_init'] and waiting['datasets'][1]['lazy_init'] and config_parts(waiting)[1]['lazy_init']
    assert split_names(['a', 'b']) == ('a', 'b') and split_names('a') == ('a',)


@pytest.mark.parametrize('split', [[], '', ['val', 'val'], [1], None, 3])
def test_no_split(split):
    with pytest.raises(ValueError, match='split must be the name of a split, or a list of different ones'):
        split_names(split)


@pytest.mark.parametrize('split', ['../val', '/val', '..', 'a\\b', 'c:val', ['val', 'x/y']])
def test_a_split_names_a_file(split):
    with pytest.raises(ValueError, match='tests write files of this name'):
        split_names(split)


# Mixed training


def counts_of(dataset: MixedDataset) -> list[tuple[int, int, dict]]:
    """Photos, refs, and photos and refs by (part, split), of each part."""
    result = []
    for out in (part['left_out'] for part in dataset.metainfo['protocol']['parts']):
        of = {(one.get('ann_folder', 'own'), one['split']): (one['photos'], one['refs']) for one in out['of']}
        result.append((out['photos'], out['refs'], of))
    return result


def test_no_photo_of_any_val_or_test_is_trained_on(tmp_path):
    a = write_refs(tmp_path, 'a', [('train', 1, 'a1'), ('train', 2, 'a2'), ('train', 2, 'a2b'), ('val', 3, 'a3')])
    b = write_refs(tmp_path, 'b', [('train', 3, 'b3'), ('train', 4, 'b4'), ('test', 2, 'b2'), ('val', 5, 'b5')])
    dataset = MixedDataset([a, b])
    assert told(dataset) == ['a1', 'b4']
    assert counts_of(dataset) == [(1, 2, {('b', 'test'): (1, 2)}), (1, 1, {('a', 'val'): (1, 1)})]
    assert told(pickle.loads(pickle.dumps(dataset))) == ['a1', 'b4']
    assert told(MixedDataset([a, dict(type='RepeatDataset', times=2, dataset=b)])) == ['a1', 'b4', 'b4']


def test_own_photos_are_the_same_by_name_and_not_by_id(tmp_path):
    """Rows without ids count photos from 0, as COCO's ids may be; names hold COCO's number, whatever is around it."""
    a = write_refs(tmp_path, 'a', [('train', 0, 'a0'), ('train', 1, 'a1'), ('val', 9, 'a9'), ('val', 2, 'a2')])
    names = ['x.png', 'crops/COCO_train2014_000000000009_3.jpg', '000000000002.jpg', '2.jpg', 'y.png']
    own = write_rows(tmp_path / 'own', {'train': names, 'val': ['y.png', 'z.png']})
    dataset = MixedDataset([a, own])
    assert told(dataset) == ['a0', 'a1', 'x.png', '2.jpg']
    assert counts_of(dataset)[1] == (3, 3, {('a', 'val'): (2, 2), ('own', 'val'): (1, 1)})
    assert photo_names(dataset.datasets[1].index).tolist()[1:3] == ['COCO 000000000009', 'COCO 000000000002']


def test_what_another_part_of_the_same_files_trains_on_is_not_held_out(tmp_path):
    a = write_refs(tmp_path, 'a', [('train', 1, 'a1'), ('val', 2, 'a2'), ('test', 3, 'a3')])
    b = write_refs(tmp_path, 'b', [('train', 2, 'b2'), ('train', 3, 'b3')])
    assert told(MixedDataset([a, dict(a, split='val'), b])) == ['a1', 'a2', 'b2']
    assert told(MixedDataset([dict(a, split=['train', 'val']), b])) == ['a1', 'a2', 'b2']


def test_counts_need_no_photo(tmp_path):
    a = write_refs(tmp_path, 'a', [('train', 1, 'a1'), ('train', 2, 'a2'), ('val', 2, 'a2')])
    for photo in (tmp_path / 'images').iterdir():
        photo.unlink()
    assert counts_of(MixedDataset([a], lazy_init=True)) == [(1, 1, {('a', 'val'): (1, 1)})]
    with pytest.raises(FileNotFoundError, match='1 photos are missing'):
        MixedDataset([a])


def test_a_data_set_that_was_read_before(tmp_path):
    a = write_refs(tmp_path, 'a', [('train', 1, 'a1'), ('train', 2, 'a2'), ('val', 2, 'a2')])
    part = ReferringDataset(**{key: value for key, value in a.items() if key != 'type'})
    assert len(part) == 2 and told(MixedDataset([part])) == ['a1']
    with pytest.raises(ValueError, match='must be a ReferringDataset, or a config; got RepeatDataset'):
        MixedDataset([RepeatDataset(part, 2)])
    with pytest.raises(ValueError, match='must be a ReferringDataset, or a config; got Subset'):
        MixedDataset([Subset(part, [0])])


def test_nothing_is_left(tmp_path):
    a = write_refs(tmp_path, 'a', [('train', 2, 'a2'), ('val', 2, 'a2')])
    with pytest.raises(
        ValueError, match="split 'train' has no sentence that is not empty, apart from the photos of other"
    ):
        MixedDataset([a])


def test_photos_that_the_real_data_sets_share(refcoco_mini):
    """RefCOCO's testA trains, what G-Ref and RefCOCO+ hold is left out."""
    parts = [('refcoco', 'unc', 'testB'), ('refcoco+', 'unc', 'testB'), ('refcocog', 'umd', 'val')]
    refs = {name: pickle.loads((refcoco_mini / name / f'refs({by}).p').read_bytes()) for name, by, _ in parts}
    held = {r['image_id'] for name, _, split in parts for r in refs[name] if r['split'] != split}
    expected = [
        [r['ref_id'] for r in refs[name] if r['split'] == split and r['image_id'] not in held]
        for name, _, split in parts
    ]
    dataset = MixedDataset(
        [
            dict(type='ReferringDataset', data_root=str(refcoco_mini), ann_folder=name, split_by=by, split=split)
            for name, by, split in parts
        ]
    )
    found = [[part.get_data_info(i)['ref_id'] for i in range(len(part))] for part in dataset.datasets]
    assert list(map(sorted, found)) == list(map(sorted, expected)) and all(expected)
    for (name, _, split), part in zip(parts, dataset.metainfo['protocol']['parts'], strict=True):
        mine = [r for r in refs[name] if r['split'] == split]
        assert part['left_out']['refs'] == sum(r['image_id'] in held for r in mine)
        assert part['left_out']['photos'] == len({r['image_id'] for r in mine} & held)
    assert sum(part['left_out']['refs'] for part in dataset.metainfo['protocol']['parts']) > 0
