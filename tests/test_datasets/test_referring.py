"""RefCOCO as samples: which there are, what they hold, and what is said of files that do not fit."""

import gc
import io
import json
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image, ImageOps
from pycocotools.coco import COCO
from pycocotools.mask import encode
from torch.utils.data import DataLoader

from mgfe_ris.apis import load_config
from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.datasets.masks import turned

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 20, 30


def ref(ref_id: int, image_id: int, sentences: list[str], split: str = 'train') -> dict:
    said = [dict(sent_id=10 * ref_id + i, raw=s, sent=s.strip().lower(), tokens=[]) for i, s in enumerate(sentences)]
    return dict(ref_id=ref_id, ann_id=100 + ref_id, image_id=image_id, split=split, sentences=said)


def write_set(root: Path, refs: list[dict], photos: int = 3) -> Path:
    """Photos 1, 2, ... and, for each ref, an annotation of its own."""
    (root / 'refs').mkdir(parents=True)
    (root / 'images').mkdir()
    images = [dict(id=i, file_name=f'{i}.png', height=HEIGHT, width=WIDTH) for i in range(1, photos + 1)]
    annotations = [
        dict(id=r['ann_id'], image_id=r['image_id'], segmentation=[[n, 2, n + 5, 2, n + 5, 9, n, 9]])
        for n, r in enumerate(refs)
    ]
    for image in images:
        Image.new('RGB', (WIDTH, HEIGHT), (image['id'], 0, 0)).save(root / 'images' / image['file_name'])
    (root / 'refs/instances.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    (root / 'refs/refs(unc).p').write_bytes(pickle.dumps(refs))
    return root


def edit_instances(root: Path, **changes: list) -> None:
    path = root / 'refs/instances.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def read(root: Path, split: str = 'train', **kwargs) -> ReferringDataset:
    init_default_scope('mmseg')
    return ReferringDataset(
        **{'ann_folder': 'refs', 'split_by': 'unc', **kwargs, 'data_root': str(root), 'split': split}
    )


def samples(dataset: ReferringDataset) -> list[dict]:
    return [dataset.get_data_info(i) for i in range(len(dataset))]


REFS = [
    ref(1, 1, ['Left dog', 'The BROWN dog ']),
    ref(2, 1, ['cat']),
    ref(3, 2, ['man on the right', 'man', 'tall man']),
    ref(4, 3, ['red car'], 'val'),
    ref(5, 3, ['blue car', 'bus'], 'val'),
    ref(6, 3, ['tree'], 'val'),
]


@pytest.fixture(scope='module', autouse=True)
def _light_garbage_collection():
    """mmengine collects garbage whenever it reads a data set: let that pass over what was imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def root(tmp_path) -> Path:
    return write_set(tmp_path / 'data', REFS)


# Which samples


def test_training_has_objects_and_evaluation_has_sentences(root):
    objects, sentences = samples(read(root)), samples(read(root, per_sentence=True))
    assert [s['ref_id'] for s in objects] == [1, 2, 3]
    assert objects[2]['sentences'] == ['man on the right', 'man', 'tall man'] and objects[2]['sent_ids'] == [30, 31, 32]
    assert [(s['ref_id'], s['sentences'], s['sent_ids']) for s in sentences] == [
        (1, ['Left dog'], [10]),
        (1, ['The BROWN dog '], [11]),
        (2, ['cat'], [20]),
        (3, ['man on the right'], [30]),
        (3, ['man'], [31]),
        (3, ['tall man'], [32]),
    ]


def test_what_a_sample_holds(root):
    first = samples(read(root, 'val'))[0]
    assert first['img_path'] == str(root / 'images/3.png') and first['img_id'] == 3
    assert (first['height'], first['width']) == (HEIGHT, WIDTH)
    assert first['segmentation'] == [[3, 2, 8, 2, 8, 9, 3, 9]]


def test_raw_or_cleaned_sentences(root):
    assert samples(read(root))[0]['sentences'] == ['Left dog', 'The BROWN dog ']
    assert samples(read(root, sentence_key='sent'))[0]['sentences'] == ['left dog', 'the brown dog']
    with pytest.raises(ValueError, match="must be 'raw' or 'sent'; got 'tokens'"):
        read(root, sentence_key='tokens')


@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
@pytest.mark.parametrize('sentence_key', ['raw', 'sent'])
def test_counts_of_the_real_data(coco_ref, split, sentence_key):
    with (coco_ref / 'refcoco/refs(unc).p').open('rb') as file:
        refs = [r for r in pickle.load(file) if r['split'] == split]
    said = Counter((r['ref_id'], s['sent_id'], s[sentence_key]) for r in refs for s in r['sentences'])
    settings = dict(ann_folder='refcoco', sentence_key=sentence_key)
    objects = samples(read(coco_ref, split, **settings))
    assert [s['ref_id'] for s in objects] == [r['ref_id'] for r in refs] and len(refs) > 20
    sentences = samples(read(coco_ref, split, per_sentence=True, **settings))
    assert Counter((s['ref_id'], *s['sent_ids'], *s['sentences']) for s in sentences) == said
    assert len(said) > len(refs)


def test_masks_of_the_real_data_belong_to_their_refs(coco_ref):
    theirs = COCO(str(coco_ref / 'refcoco/instances.json'))
    with (coco_ref / 'refcoco/refs(unc).p').open('rb') as file:
        ann_id = {r['ref_id']: r['ann_id'] for r in pickle.load(file)}
    pipeline = [dict(type='LoadPhoto'), dict(type='LoadReferringMask'), dict(type='PickSentence')]
    dataset = read(coco_ref, 'testA', ann_folder='refcoco', pipeline=pipeline)
    for sample in dataset:
        truth = theirs.annToMask(theirs.anns[ann_id[sample['ref_id']]])
        np.testing.assert_array_equal(sample['gt_seg_map'], truth, err_msg=str(sample['ref_id']))


def test_training_meets_every_sentence_over_time(root):
    np.random.seed(0)
    dataset = read(root, pipeline=[dict(type='PickSentence')])
    epochs = [[sample['sent_id'] for sample in dataset] for _ in range(40)]
    assert all(len(epoch) == 3 for epoch in epochs)
    assert {i for epoch in epochs for i in epoch} == {10, 11, 20, 30, 31, 32}


# Exchanged sentences


def test_exchanged_sentences_are_of_another_object_of_the_photo(root):
    shuffled = samples(read(root, shuffle_sentences=True))
    assert [(s['ref_id'], s['sent_ids']) for s in shuffled] == [(1, [20]), (2, [10, 11])]  # ref 3 is alone
    assert shuffled[0]['segmentation'] == samples(read(root))[0]['segmentation']
    of_val = samples(read(root, 'val', shuffle_sentences=True, per_sentence=True))
    assert sorted(s['sent_ids'][0] for s in of_val) == [40, 50, 51, 60]
    assert all(s['sent_ids'][0] // 10 != s['ref_id'] for s in of_val)


def test_exchanged_sentences_of_the_real_data(coco_ref):
    settings = dict(ann_folder='refcoco', split='val')
    plain = samples(read(coco_ref, **settings))
    shuffled = samples(read(coco_ref, shuffle_sentences=True, **settings))
    owner = {i: s for s in plain for i in s['sent_ids']}
    objects_of = Counter(s['img_id'] for s in plain)
    assert [s['ref_id'] for s in shuffled] == [s['ref_id'] for s in plain if objects_of[s['img_id']] > 1]
    assert 20 < len(shuffled) < len(plain)
    for s in shuffled:
        others = {owner[i]['ref_id'] for i in s['sent_ids']}
        assert len(others) == 1 and s['ref_id'] not in others
        other = owner[s['sent_ids'][0]]
        assert other['img_id'] == s['img_id'] and other['segmentation'] != s['segmentation']
        assert s['sentences'] == other['sentences']
    assert len({tuple(s['sent_ids']) for s in shuffled}) == len(shuffled)


# mmengine's side


def test_the_config_reads_samples_in_a_worker(refshapes):
    init_default_scope('mmseg')
    cfg = load_config(REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py', data_root=str(refshapes))
    settings = dict(cfg.val_dataloader.dataset)
    assert settings.pop('type') == 'ReferringDataset'
    dataset = ReferringDataset(**settings)
    loader = DataLoader(dataset, batch_size=8, num_workers=1, collate_fn=pseudo_collate)
    batches = list(loader)
    told = [sample.sent_id for batch in batches for sample in batch['data_samples']]
    assert told == [dataset.get_data_info(i)['sent_ids'][0] for i in range(len(dataset))] and len(told) > 20
    assert {photo.shape for batch in batches for photo in batch['inputs']} == {(3, 64, 64)}


def test_a_copy_that_was_pickled_is_the_same(root):
    dataset = read(root, per_sentence=True)
    assert samples(pickle.loads(pickle.dumps(dataset))) == samples(dataset)


def test_lazy_reading(root):
    dataset = read(root, lazy_init=True)
    dataset.full_init()
    assert len(dataset) == 3


def test_metainfo(root, tmp_path, monkeypatch):
    (tmp_path / 'train').write_text('mmengine would read this file, were it asked')
    (tmp_path / 'val').mkdir()
    monkeypatch.chdir(tmp_path)
    protocol = dict(
        sentence_key='raw', score_at='input', per_sentence=False, no_target=False, apart_from=[], shared_photos={}
    )
    assert read(root).metainfo == dict(classes=('background', 'target'), split='train', protocol=protocol)
    assert read(root, score_at='photo', sentence_key='sent').metainfo['protocol'] == {
        **protocol, 'score_at': 'photo', 'sentence_key': 'sent'
    }  # fmt: skip
    assert read(root, 'val').metainfo['split'] == 'val'
    assert read(root, 'val', metainfo=dict(split='val-shuffled')).metainfo['split'] == 'val-shuffled'


def test_several_splits_at_once(root):
    dataset = read(root, ['train', 'val'])
    assert [s['ref_id'] for s in samples(dataset)] == [1, 2, 3, 4, 5, 6]
    assert dataset.metainfo['split'] == 'train+val' and dataset.metainfo['protocol']['split'] == ['train', 'val']
    assert read(root, ['val']).metainfo == read(root, 'val').metainfo
    with pytest.raises(ValueError, match=r"no split 'test'; there are \['train', 'val'\]"):
        read(root, ['train', 'test'])
    with pytest.raises(ValueError, match=r"a list of different ones; got \['val', 'val'\]"):
        read(root, ['val', 'val'])


@pytest.mark.parametrize(
    ('indices', 'ids'), [(2, [1, 2]), (3, [1, 2, 3]), (-1, [3]), ([2, 0], [3, 1]), ((1,), [2]), ([-1, 1, 1], [3, 2, 2])]
)
def test_some_of_the_samples_as_mmengine_takes_them(root, indices, ids):
    dataset = read(root, indices=indices)
    assert [s['ref_id'] for s in samples(dataset)] == ids
    assert [dataset.photo_of(i) for i in range(len(dataset))] == [0 if i < 3 else 1 for i in ids]
    said = dataset.metainfo['protocol']['indices']
    assert said == (indices if isinstance(indices, int) else list(indices))
    assert samples(pickle.loads(pickle.dumps(dataset))) == samples(dataset)
    whole = read(root)
    assert samples(whole.get_subset(indices)) == samples(dataset) and len(whole) == 3
    whole.get_subset_(indices)
    assert samples(whole) == samples(dataset)
    assert len(whole.get_subset([0]).get_subset(1)) == 1


@pytest.mark.parametrize('indices', [0, [], 4, -4, [0, 3], True, [True], ['1'], 'ab', 1.5, [0.5], {}])
def test_indices_that_are_none(root, indices):
    with pytest.raises(ValueError, match='indices'):
        read(root, indices=indices)


def test_the_other_arguments_of_mmengines_data_sets(root, monkeypatch):
    settings = dict(max_refetch=3, test_mode=True, serialize_data=True, data_prefix=dict(img_path='images'))
    dataset = read(root, pipeline=[lambda sample: None], **settings)
    assert (dataset.max_refetch, dataset.test_mode, len(dataset)) == (3, True, 3)
    with pytest.raises(Exception, match='Test time pipline should not get `None`'):
        dataset[0]
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    assert samples(read(root, filter_cfg=dict(min_size=3))) == samples(read(root))
    assert warnings == ['filter_cfg does nothing: there is no filter_data to read it']
    for wrong in (dict(img_path='other'), dict(seg_map_path='x')):
        with pytest.raises(ValueError, match='names the folder of photos, and nothing else'):
            read(root, img_folder='images', data_prefix=wrong)
    with pytest.raises(FileNotFoundError, match=r'elsewhere/1\.png'):
        read(root, data_prefix=dict(img_path='elsewhere'))


def test_a_derived_class_may_filter(root):
    class Filtered(ReferringDataset):
        def filter_data(self) -> list[dict]:
            return [s for s in self.data_list if len(s['sentences']) <= self.filter_cfg['most']]

    init_default_scope('mmseg')
    settings = dict(data_root=str(root), ann_folder='refs', split_by='unc', filter_cfg=dict(most=2))
    dataset = Filtered(**settings, indices=[1, 0])
    assert [s['ref_id'] for s in samples(dataset)] == [2, 1] and dataset.photo_of(0) == dataset.photo_of(1) == '1.png'
    assert dataset[0]['ref_id'] == 2 and dataset.known_of(0) == {} and dataset.get_cat_ids(0) == []


@pytest.fixture
def overlapping(tmp_path) -> Path:
    """Photo 2 is of train and val, photo 3 of train and test."""
    refs = [ref(1, 1, ['a']), ref(2, 2, ['b'], 'val'), ref(3, 3, ['c'], 'test'), ref(4, 3, ['d']), ref(5, 2, ['e'])]
    return write_set(tmp_path / 'data', refs)


@pytest.mark.parametrize(
    ('apart_from', 'ids', 'shared'),
    [
        ((), [1, 4, 5], dict(val=1, test=1)),
        (['val'], [1, 4], dict(test=1)),
        (('test', 'val'), [1], {}),
    ],
)
def test_photos_that_splits_share(overlapping, apart_from, ids, shared, monkeypatch):
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    dataset = read(overlapping, apart_from=apart_from)
    assert [s['ref_id'] for s in samples(dataset)] == ids
    assert dataset.metainfo['protocol']['shared_photos'] == shared
    assert dataset.metainfo['protocol']['apart_from'] == list(apart_from)
    if shared:
        assert len(warnings) == 1 and f'photos of train that other splits have, too: {shared}' in warnings[0]
    else:
        assert not warnings


def test_apart_from_a_split_that_is_not_there(overlapping):
    with pytest.raises(ValueError, match=r"no split 'testA'; there are \['test', 'train', 'val'\]"):
        read(overlapping, apart_from=['testA'])


def test_apart_from_all_photos(overlapping):
    with pytest.raises(ValueError, match="split 'val' has no sentence that is not empty, apart from the photos of"):
        read(overlapping, 'val', apart_from=['train'])


def set_without_target(root: Path, segmentation: list | dict) -> Path:
    refs = [ref(1, 1, ['dog']), ref(2, 2, ['unicorn'])]
    write_set(root, refs)
    masks = [[[1, 2, 6, 2, 6, 9]], segmentation]
    edit_instances(
        root,
        annotations=[
            dict(id=r['ann_id'], image_id=r['image_id'], segmentation=mask) for r, mask in zip(refs, masks, strict=True)
        ],
    )
    return root


# The last: a polygon smaller than a pixel
EMPTY = [dict(size=[HEIGHT, WIDTH], counts=[HEIGHT * WIDTH]), [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]]]


@pytest.mark.parametrize('segmentation', EMPTY)
def test_an_empty_mask_where_it_may_be(tmp_path, segmentation):
    pipeline = [dict(type='LoadPhoto'), dict(type='LoadReferringMask')]
    dataset = read(set_without_target(tmp_path / 'data', segmentation), no_target=True, pipeline=pipeline)
    assert dataset[0]['gt_seg_map'].any() and not dataset[1]['gt_seg_map'].any()
    assert dataset[1]['gt_seg_map'].shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize('segmentation', EMPTY)
def test_an_empty_mask_where_it_may_not_be(tmp_path, segmentation):
    root = set_without_target(tmp_path / 'data', segmentation)
    with pytest.raises(ValueError, match='ref_id 2: no mask, or an empty one'):
        read(root)


def write_own(root: Path, *rows: dict) -> Path:
    (root / 'images').mkdir(parents=True, exist_ok=True)
    Image.new('RGB', (WIDTH, HEIGHT)).save(root / 'images/a.png')
    (root / 'train.jsonl').write_text('\n'.join(json.dumps(dict(image='a.png', sentences='x', **row)) for row in rows))
    return root


def read_own(root: Path, **kwargs) -> ReferringDataset:
    return read(root, ann_folder=None, split_by=None, ann_file='*.jsonl', **kwargs)


@pytest.mark.parametrize('said', [{}, dict(height=HEIGHT, width=WIDTH)])
@pytest.mark.parametrize(
    ('mask', 'message'),
    [
        ([0, 0, 9], 'a polygon needs'),
        (dict(size=[3, 3], counts=[9]), 'RLE of size'),
        ([[5.1, 5.1, 5.2, 5.1, 5.2, 5.2]], 'empty'),
    ],
)
def test_a_wrong_mask_of_a_row_is_named_before_training(tmp_path, said, mask, message):
    root = write_own(tmp_path, dict(mask=[0, 0, 9, 0, 9, 9]), dict(mask=mask, **said))
    with pytest.raises(ValueError, match=f'train.jsonl, row 2: .*{message}'):
        read_own(root)


def test_photos_that_change_behind_rows_without_sizes(tmp_path):
    root = write_own(tmp_path, dict(mask=[0, 0, 9, 0, 9, 9]))
    assert samples(read_own(root))[0]['height'] == HEIGHT
    Image.new('RGB', (50, 40)).save(root / 'images/a.png')
    assert [samples(read_own(root))[0][key] for key in ('height', 'width')] == [40, 50]


def test_a_mask_that_is_no_png(tmp_path):
    root = write_own(tmp_path, dict(mask='b.png'))
    with pytest.raises(FileNotFoundError, match=r'1 masks are missing; the first is .*b\.png'):
        read_own(root)
    Image.new('L', (WIDTH, HEIGHT)).save(root / 'images/b.png', format='JPEG')
    with pytest.raises(ValueError, match=r'1 masks do not fit .*b\.png is not a readable PNG'):
        read_own(root)


def test_a_photo_has_one_name(tmp_path):
    rows = [dict(split='train'), dict(split='val')]
    root = write_own(tmp_path, *(dict(row, mask=[0, 0, 9, 0, 9, 9]) for row in rows))
    text = (root / 'train.jsonl').read_text().replace('"a.png"', '"./a.png"', 1)
    (root / 'train.jsonl').write_text(text)
    assert read_own(root).metainfo['protocol']['shared_photos'] == dict(val=1)


def test_apart_from_is_a_list(root):
    with pytest.raises(ValueError, match="must be a list of splits; got 'val'"):
        read(root, apart_from='val')


# Files that do not fit


def test_a_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'nowhere/refs: no such folder\. Set data_root'):
        read(tmp_path / 'nowhere')


def test_missing_instances(root):
    (root / 'refs/instances.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'instances\.json: no such file'):
        read(root)


def test_an_unknown_split_with_those_there_are(root):
    with pytest.raises(ValueError, match=r"no split 'validation'; there are \['train', 'val'\]") as error:
        read(root, 'validation')
    assert str(root / 'refs') in str(error.value)


def test_missing_photos_are_counted_and_the_first_is_named(root):
    for name in ('2.png', '1.png'):
        (root / 'images' / name).unlink()
    with pytest.raises(FileNotFoundError, match=r'2 photos are missing; the first is .*images/1\.png\. Set data_root'):
        read(root)
    assert len(read(root, 'val')) == 3, 'photos of other splits do not matter'
    with pytest.raises(FileNotFoundError, match=r'1 photos are missing; the first is .*photos/3\.png.* img_folder'):
        read(root, 'val', img_folder='photos')


def test_photos_of_another_size_are_counted_before_training(root):
    Image.new('RGB', (WIDTH, HEIGHT + 1)).save(root / 'images/1.png')
    Image.new('RGB', (WIDTH // 2, HEIGHT)).save(root / 'images/2.png')
    with pytest.raises(
        ValueError, match=r'2 photos do not fit.*1\.png is \(30, 21\).*says \(30, 20\) \(width, height\)'
    ):
        read(root)


def test_a_photo_on_its_side_counts_as_its_exif_turns_it(root):
    """A camera may store it lying down and say so; without such a word it does not fit, before training."""
    lying = Image.new('RGB', (HEIGHT, WIDTH))
    exif = lying.getexif()
    exif[0x112] = 6  # turn by 90 degrees
    lying.save(root / 'images/3.png', exif=exif)
    assert len(read(root, 'val')) > 0
    lying.save(root / 'images/3.png')
    with pytest.raises(ValueError, match=r'1 photos do not fit.*3\.png is \(20, 30\)'):
        read(root, 'val')


@pytest.mark.parametrize('data', [b'', b'no image'])
def test_what_is_no_photo_is_counted_before_training(root, data):
    (root / 'images/2.png').write_bytes(data)
    with pytest.raises(ValueError, match=r'1 photos do not fit.*2\.png is not a readable image\. Download'):
        read(root)


def test_a_truncated_photo_is_named_when_it_is_read(root):
    photo = root / 'images/3.png'
    Image.effect_noise((WIDTH, HEIGHT), 90).convert('RGB').save(photo, 'JPEG')
    photo.write_bytes(photo.read_bytes()[:-200])
    dataset = read(root, 'val', pipeline=[dict(type='LoadPhoto')])
    with pytest.raises(ValueError, match=r'3\.png: not a readable image'):
        dataset[0]


def test_refs_to_missing_annotations_and_images(root):
    instances = json.loads((root / 'refs/instances.json').read_text())
    edit_instances(root, annotations=instances['annotations'][2:])
    with pytest.raises(ValueError, match=r'2 refs .*missing annotation .*first is ref_id 1 with ann_id 101.*same data'):
        read(root)
    edit_instances(root, annotations=instances['annotations'], images=instances['images'][1:])
    with pytest.raises(ValueError, match=r'2 refs .*missing image .*first is ref_id 1 with image_id 1.*same data'):
        read(root)


def test_empty_sentences_are_counted_and_left_out(tmp_path, monkeypatch):
    refs = [ref(1, 1, ['dog', '', 'big dog']), ref(2, 1, [' ', '\u200b\t\u0007']), ref(3, 2, ['', 'cat'])]
    root = write_set(tmp_path / 'data', refs)
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    dataset = read(root)
    assert [(s['ref_id'], s['sentences'], s['sent_ids']) for s in samples(dataset)] == [
        (1, ['dog', 'big dog'], [10, 12]),
        (3, ['cat'], [31]),
    ]
    assert warnings == ['4 empty sentences are left out; the first is sent_id 11 of ref_id 1']
    assert len(read(root, per_sentence=True)) == 3


def test_nothing_to_exchange(tmp_path):
    root = write_set(tmp_path / 'data', [ref(1, 1, ['dog']), ref(2, 2, ['cat'])])
    with pytest.raises(ValueError, match=r"data/refs: split 'train' has no photo with two objects"):
        read(root, shuffle_sentences=True)


def test_a_split_of_empty_sentences(tmp_path):
    root = write_set(tmp_path / 'data', [ref(1, 1, ['', ' '])])
    with pytest.raises(ValueError, match=r"data/refs: split 'train' has no sentence that is not empty"):
        read(root)


# Where photos and masks lie

LOAD = [dict(type='LoadPhoto'), dict(type='LoadReferringMask')]
SQUARE = [0, 0, 9, 0, 9, 9]
COCO_NAME = 'COCO_train2014_000000000009.jpg'
COUNTED = 'COCO_train2014_000000000009_{}.jpg'


def own(root: Path, files: list[str], *rows: dict) -> Path:
    """Photos of different greys, by their place among ``files``, and rows of them."""
    for shade, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (WIDTH, HEIGHT), (10 * shade,) * 3).save(root / name)
    rows = [dict(dict(sentences='x', mask=SQUARE), **row) for row in rows]
    (root / 'train.jsonl').write_text('\n'.join(map(json.dumps, rows)))
    return root


def places(root: Path, **kwargs) -> list[str]:
    return [str(Path(s['img_path']).relative_to(root)) for s in samples(read_own(root, **kwargs))]


@pytest.mark.parametrize(
    ('files', 'name', 'found'),
    [
        (['images/a.png'], 'a.png', 0),
        (['images/a.png', 'images/sub/a.png'], 'sub/a.png', 1),
        (['images/a.png', 'images/sub/a.png'], 'sub\\a.png', 1),
        (['images/sub/a.png', 'images/sub\\a.png'], 'sub\\a.png', 1),
        (['images/a.png'], 'images\\a.png', 0),
        (['images/a.png'], 'images/a.png', 0),
        (['images/a.png', 'images/images/a.png'], 'images/a.png', 1),
        (['a.png'], 'a.png', 0),
        ([f'images/{COCO_NAME}'], COUNTED.format(16), 0),
        ([f'images/{COCO_NAME}', f'images/{COUNTED.format(16)}'], COUNTED.format(16), 1),
        ([f'images/{COCO_NAME}', f'images/train2014/{COCO_NAME}'], f'train2014/{COCO_NAME}', 1),
        ([f'images/{COCO_NAME}'], f'coco/train2014/{COCO_NAME}', 0),
        ([f'images/{COCO_NAME}'], f'coco\\train2014\\{COUNTED.format(3)}', 0),
        ([f'images/train2014/{COCO_NAME}'], COCO_NAME, 0),
        ([f'images/train2014/{COCO_NAME}'], COUNTED.format(3), 0),
        (['images/my_COCO_train2014_000000000009_1.jpg'], 'my_COCO_train2014_000000000009_1.jpg', 0),
        (['images/12:30.png'], '12:30.png', 0),
    ],
)
@pytest.mark.parametrize('form', ['rows', 'refs'])
def test_where_a_photo_is_found(tmp_path, files, name, found, form):
    own(tmp_path, files, dict(image=name))
    if form == 'refs':
        write_set(tmp_path / 'other', [ref(1, 1, ['x'])], photos=1)
        (tmp_path / 'other/refs').rename(tmp_path / 'refs')
        edit_instances(tmp_path, images=[dict(id=1, file_name=name, height=HEIGHT, width=WIDTH)])
    dataset = read_own(tmp_path, pipeline=LOAD) if form == 'rows' else read(tmp_path, pipeline=LOAD)
    assert Path(dataset[0]['img_path']).samefile(tmp_path / files[found])
    assert abs(dataset[0]['img'].mean() - 10 * found) < 2
    assert pickle.loads(pickle.dumps(dataset))[0]['img_path'] == dataset[0]['img_path']


@pytest.mark.parametrize(
    ('files', 'names'),
    [
        # crops of one's own, one of them missing
        ([f'images/{COCO_NAME}', f'images/{COUNTED.format(1)}'], [COUNTED.format(1), COUNTED.format(2)]),
        ([f'images/{COCO_NAME}'], [COCO_NAME, COUNTED.format(2)]),
        ([f'images/{COCO_NAME}'], [f'train2014/{COCO_NAME}', COUNTED.format(2)]),
        (['images/a.png'], ['a.png', 'a_2.png']),
        (['images/a.png'], ['a.png', 'other/a.png']),
    ],
)
def test_no_photo_takes_the_place_of_another(tmp_path, files, names):
    own(tmp_path, files, *(dict(image=name) for name in names))
    with pytest.raises(FileNotFoundError, match=rf'1 photos are missing; the first is .*{names[-1]}'):
        read_own(tmp_path)


def test_absolute_names(tmp_path):
    root = tmp_path / 'data'
    photo, mask = root / 'images/a.png', root / 'masks/a_m.png'
    own(root, ['images/a.png', 'masks/a_m.png'], dict(image=str(photo), mask=str(mask)))
    Image.new('L', (WIDTH, HEIGHT), 1).save(mask)
    assert read_own(root, pipeline=LOAD)[0]['gt_seg_map'].all() and places(root) == ['images/a.png']
    (tmp_path / 'link').symlink_to(root)
    assert len(read_own(tmp_path / 'link')) == 1
    own(tmp_path / 'elsewhere', ['images/a.png'], dict(image='a.png'))
    for name in (str(tmp_path / 'elsewhere/images/a.png'), f'{root}x/a.png', '//etc/passwd', '/etc/passwd'):
        own(root, ['images/a.png'], dict(image='a.png'), dict(image=name))
        with pytest.raises(ValueError, match=rf"'{name}' lies outside of data_root .*relative to img_folder"):
            read_own(root)
        own(root, ['images/a.png'], dict(image='a.png', mask=name))
        with pytest.raises(ValueError, match=rf"'{name}' lies outside of data_root"):
            read_own(root)


def test_masks_beside_the_photos(tmp_path):
    rows = [dict(image='a.png', mask=name) for name in ('masks/m.png', 'masks\\m.png', 'm.png')]
    own(tmp_path, ['images/a.png', 'masks/m.png', 'images/m.png'], *rows)
    for name, shade in (('masks/m.png', 1), ('images/m.png', 0)):
        mask = Image.new('L', (WIDTH, HEIGHT), shade)
        mask.putpixel((3, 3), 1)
        mask.save(tmp_path / name)
    assert [s['gt_seg_map'].mean() == 1 for s in read_own(tmp_path, pipeline=LOAD)] == [True, True, False]


def test_one_photo_under_several_names(tmp_path):
    """Exports number the objects: what is of one photo stays together, and other splits share it."""
    names = [COUNTED.format(0), COUNTED.format(1), f'train2014\\{COUNTED.format(2)}', 'b.png', 'images/b.png']
    rows = [dict(image=name, split='train' if i % 2 else 'val') for i, name in enumerate(names)]
    own(tmp_path, [f'images/{COCO_NAME}', 'images/b.png'], *rows)
    for dataset in (read_own(tmp_path), pickle.loads(pickle.dumps(read_own(tmp_path)))):
        assert dataset.metainfo['protocol']['shared_photos'] == dict(val=2)
        assert dataset.photo_of(0) != dataset.photo_of(1)
    val = read_own(tmp_path, split='val')
    assert [val.photo_of(i) for i in range(3)] == [val.photo_of(0), val.photo_of(0), val.photo_of(2)]
    assert {s['img_id'] for s in samples(val)[:2]} == {0}
    with pytest.raises(ValueError, match='has no sentence'):
        read_own(tmp_path, apart_from=['val'])


# Masks that are pictures


def test_the_value_of_the_object(tmp_path):
    rows = [dict(image='a.png', mask='m.png', mask_value=2), dict(image='a.png', mask='m.png')]
    own(tmp_path, ['images/a.png'], *rows)
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[:2], pixels[2:9] = 1, 2
    Image.fromarray(pixels).save(tmp_path / 'images/m.png')
    with pytest.raises(ValueError, match=r'm\.png has 2 values other than 0 \(1, 2\)\. Say which'):
        read_own(tmp_path)
    dataset = read_own(tmp_path, mask_value=1, pipeline=LOAD)
    assert [s['gt_seg_map'].sum() for s in dataset] == [7 * WIDTH, 2 * WIDTH]
    assert dataset.metainfo['protocol']['mask_value'] == 1
    assert read_own(tmp_path, mask_value='any', pipeline=LOAD)[1]['gt_seg_map'].sum() == 9 * WIDTH
    with pytest.raises(ValueError, match=r'row 2: .*m\.png has no pixel of the object'):
        read_own(tmp_path, mask_value=7)
    with pytest.raises(ValueError, match=r"mask_value must be .*; got 'all'"):
        read_own(tmp_path, mask_value='all')


@pytest.mark.parametrize(
    ('size', 'reach', 'warns'), [((640, 480), 99.5, True), ((640, 480), 101, False), ((90, 640), 80, False)]
)
def test_polygons_that_may_be_in_percent(tmp_path, size, reach, warns, monkeypatch):
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    root = own(tmp_path, [], dict(image='a.png', mask=[2, 2, reach, 2, 9, 9]), dict(image='a.png', mask=SQUARE))
    (root / 'images').mkdir()
    Image.new('RGB', size).save(root / 'images/a.png')
    read_own(root)
    assert ['all polygons lie within 100 x 100' in text for text in warnings] == [True] * warns


# EXIF

STORED = np.zeros((HEIGHT, WIDTH), np.uint8)
STORED[2:6, 3:15] = 255
CORNERS = [3, 2, 15, 2, 15, 6, 3, 6]  # as it is stored


def save_turned(path: Path, orientation: int, mode: str = 'RGB') -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(STORED).convert(mode).save(path, exif=exif)


def outline(shown: np.ndarray) -> list[int]:
    y, x = np.nonzero(shown)
    left, top, right, bottom = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('mask', ['shown', 'stored', 'sized RLE', 'PNG', 'PNG stored', 'turned PNG'])
def test_masks_of_a_photo_that_exif_turns(tmp_path, orientation, mask, monkeypatch):
    """They lie where the photo is bright, of whichever frame they are, where this can be known."""
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    root = own(tmp_path, [], dict(image='a.png'))
    (root / 'images').mkdir()
    save_turned(root / 'images/a.png', orientation)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(root / 'images/a.png')).convert('L'))
    sizes = dict(height=shown.shape[0], width=shown.shape[1])
    row: dict = dict(image='a.png', mask=outline(shown), **sizes)
    if mask == 'stored':
        row = dict(image='a.png', mask=CORNERS, height=HEIGHT, width=WIDTH)
    elif mask == 'sized RLE':
        rle = encode(np.asfortranarray(STORED // 255))
        row = dict(image='a.png', mask=dict(rle, counts=rle['counts'].decode()))
    elif mask.startswith('PNG'):
        Image.fromarray(STORED if mask == 'PNG stored' else shown).save(root / 'images/m.png')
        row = dict(image='a.png', mask='m.png')
    elif mask == 'turned PNG':
        save_turned(root / 'images/m.png', orientation, 'L')
        row = dict(image='a.png', mask='m.png', **sizes)
    own(root, [], row)
    sample = read_own(root, pipeline=LOAD)[0]
    bright = sample['img'][..., 0] > 128
    assert bright.shape == shown.shape and (sample['height'], sample['width']) == shown.shape
    cannot_be_known = orientation in (2, 3, 4)
    assert bool(warnings) == cannot_be_known
    if cannot_be_known:
        assert '1 photos are turned by their EXIF, and nothing says whether' in warnings[0]
    if not (cannot_be_known and mask in ('stored', 'sized RLE', 'PNG stored')):
        np.testing.assert_array_equal(sample['gt_seg_map'] == 1, bright)


@pytest.mark.parametrize('orientation', [2, 3, 6, 8])
def test_a_png_that_fits_neither_size_of_a_turned_photo(tmp_path, orientation):
    root = own(tmp_path, [], dict(image='a.png', mask='m.png'))
    (root / 'images').mkdir()
    save_turned(root / 'images/a.png', orientation)
    fitting = {(WIDTH, HEIGHT), (HEIGHT, WIDTH)} if orientation >= 5 else {(WIDTH, HEIGHT)}
    for size in ((WIDTH, HEIGHT), (HEIGHT, WIDTH), (WIDTH, HEIGHT + 1), (7, 7)):
        Image.new('L', size, 255).save(root / 'images/m.png')
        if size in fitting:
            assert len(read_own(root)) == 1
        else:
            with pytest.raises(ValueError, match=r'1 masks do not fit their annotation; .*m\.png is'):
                read_own(root)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_a_tiff_that_is_turned(tmp_path, orientation, mode):
    """The loader turns it, and so does Pillow, its size included."""
    root = own(tmp_path, [], dict(image='a.tif', mask='m.png'))
    (root / 'images').mkdir()
    save_turned(root / 'images/a.tif', orientation, mode)
    shown = turned(STORED, orientation)
    Image.fromarray(shown).save(root / 'images/m.png')
    sample = read_own(root, pipeline=LOAD)[0]
    assert (sample['height'], sample['width']) == shown.shape
    np.testing.assert_array_equal(sample['img'][..., 0], shown)
    np.testing.assert_array_equal(sample['gt_seg_map'] * 255, shown)


def test_polygons_without_a_size_on_a_turned_photo(tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr('mmengine.logging.MMLogger.warning', lambda self, text, *_: warnings.append(text))
    wide = [2, 2, WIDTH - 2, 2, WIDTH - 2, 9, 2, 9]  # wider than the photo that is shown
    root = own(tmp_path, [], dict(image='a.png', mask=wide), dict(image='a.png', mask=CORNERS))
    (root / 'images').mkdir()
    save_turned(root / 'images/a.png', 6)
    sample = read_own(root, pipeline=LOAD)[1]
    np.testing.assert_array_equal(sample['gt_seg_map'] == 1, sample['img'][..., 0] > 128)
    assert not warnings
    own(root, [], dict(image='a.png', mask=CORNERS))
    read_own(root)
    assert len(warnings) == 1 and 'the first is a.png' in warnings[0]


# Photos inside of the annotations


def test_photos_inside_of_parquet(tmp_path):
    pyarrow = pytest.importorskip('pyarrow')
    parquet = pytest.importorskip('pyarrow.parquet')
    rows = []
    for i, shade in enumerate((0, 0, 200, 100)):
        file = io.BytesIO()
        Image.new('RGB', (WIDTH, HEIGHT + shade // 100), (shade,) * 3).save(file, 'PNG')
        image = dict(bytes=file.getvalue(), path=None)
        rows.append(
            dict(image=image, file_name=COUNTED.format(i), answer=[f'dog {i}'], segmentation=[float(x) for x in SQUARE])
        )
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / 'val-00000-of-00001.parquet')
    for _ in range(2):  # the second time from the index
        dataset = read(tmp_path, 'val', ann_folder=None, split_by=None, ann_file='*.parquet', pipeline=LOAD)
        found = [
            (s['img'].mean(), s['gt_seg_map'].shape, s['sentences'], dataset.photo_of(i)) for i, s in enumerate(dataset)
        ]
        assert found == [
            (0, (HEIGHT, WIDTH), ['dog 0'], 0),
            (0, (HEIGHT, WIDTH), ['dog 1'], 0),
            (200, (HEIGHT + 2, WIDTH), ['dog 2'], 1),
            (100, (HEIGHT + 1, WIDTH), ['dog 3'], 2),
        ]
    kept = dataset.data_list.shared.folder / 'photos'
    assert len(list(kept.iterdir())) == 3
    next(kept.iterdir()).unlink()
    assert len(read(tmp_path, 'val', ann_folder=None, split_by=None, ann_file='*.parquet')) == 4, 'read anew'
    assert len(list(kept.iterdir())) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ['val-00000-of-00001.parquet']


def test_a_folder_that_datasets_saved(tmp_path):
    """The folder says the split, also where the files in it are the same."""
    pyarrow = pytest.importorskip('pyarrow')
    file = io.BytesIO()
    Image.new('RGB', (WIDTH, HEIGHT)).save(file, 'PNG')
    row = dict(image=dict(bytes=file.getvalue(), path=None), sentences=['x'], mask=[SQUARE])
    table = pyarrow.Table.from_pylist([row, dict(row, sentences=['y'])])
    for split in ('train', 'val'):
        (tmp_path / 'saved' / split).mkdir(parents=True)
        path = tmp_path / 'saved' / split / 'data-00000-of-00001.arrow'
        with pyarrow.OSFile(str(path), 'wb') as sink, pyarrow.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
    own_form = dict(ann_folder=None, split_by=None, pipeline=LOAD)
    for ann_file, split in (('saved', 'train'), ('saved', 'val'), ('saved/train', 'train'), ('saved/val', 'val')):
        dataset = read(tmp_path, split, ann_file=ann_file, **own_form)
        assert [s['sentences'] for s in dataset] == [['x'], ['y']] and dataset[1]['gt_seg_map'].any()
