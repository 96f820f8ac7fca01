"""A photo, its mask and one sentence, or an error that names the file."""

import importlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import Resize
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from PIL import Image

from mgfe_ris.apis import load_config
from mgfe_ris.datasets import LoadPhoto, LoadReferringMask, OncePerPhoto, PickSentence

REPO = Path(__file__).parents[2]
HEIGHT, WIDTH = 20, 30


@pytest.fixture
def sample(tmp_path) -> dict:
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / 'photo.png')
    return dict(
        img_path=str(tmp_path / 'photo.png'),
        img_id=1,
        ref_id=17,
        height=HEIGHT,
        width=WIDTH,
        segmentation=[[3, 2, 12, 2, 12, 9, 3, 9]],
        sentences=['left dog', 'the brown dog', 'dog'],
        sent_ids=[40, 41, 42],
    )


def test_photos_are_loaded_as_opencv_orders_channels(sample):
    loaded = LoadPhoto().transform(sample)
    np.testing.assert_array_equal(loaded['img'][..., ::-1], Image.open(sample['img_path']))
    assert loaded['ori_shape'] == loaded['img_shape'] == (HEIGHT, WIDTH)


def test_a_missing_photo_is_named(sample, tmp_path):
    with pytest.raises(FileNotFoundError, match='no such photo') as error:
        LoadPhoto().transform(dict(sample, img_path=str(tmp_path / 'gone.jpg')))
    assert str(tmp_path / 'gone.jpg') in str(error.value)


@pytest.mark.parametrize('kind', ['text', 'empty', 'truncated JPEG', 'folder'])
def test_what_does_not_decode_is_named(sample, tmp_path, kind):
    path = tmp_path / 'broken.jpg'
    if kind == 'folder':
        path.mkdir()
    else:
        jpeg = io.BytesIO()
        Image.open(sample['img_path']).resize((300, 200)).save(jpeg, 'JPEG')
        data = {'text': b'no image', 'empty': b'', 'truncated JPEG': jpeg.getvalue()[: len(jpeg.getvalue()) // 2]}
        path.write_bytes(data[kind])
    with pytest.raises(ValueError, match='not a readable image') as error:
        LoadPhoto().transform(dict(sample, img_path=str(path)))
    assert str(error.value).startswith(f'{path}: ')


def test_a_photo_in_memory_passes(sample, monkeypatch):
    loaded = LoadPhoto().transform(dict(sample))
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('decoded'))
    passed = LoadPhoto().transform(dict(sample, img=loaded['img'], img_path=''))
    assert passed['img'] is loaded['img']
    assert passed['ori_shape'] == passed['img_shape'] == loaded['ori_shape']


def test_a_fault_of_the_program_is_no_broken_photo(sample, monkeypatch):
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: {}['a fault'])
    with pytest.raises(KeyError, match='a fault'):
        LoadPhoto().transform(sample)


def test_the_mask(sample):
    truth = np.zeros((HEIGHT, WIDTH), np.uint8)
    truth[2:9, 3:12] = 1
    mask = LoadReferringMask().transform(LoadPhoto().transform(sample))['gt_seg_map']
    np.testing.assert_array_equal(mask, truth)
    assert mask.dtype == np.uint8


def test_resize_stretches_the_mask_to_nearest_pixels(sample):
    loaded = LoadReferringMask().transform(LoadPhoto().transform(sample))
    before = loaded['gt_seg_map']
    after = Resize(scale=(48, 16), keep_ratio=False, backend='pillow').transform(loaded)['gt_seg_map']
    assert after.shape == (16, 48)
    nearest = Image.fromarray(before).resize((48, 16), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(after, nearest)


@pytest.mark.parametrize('size', [(WIDTH, HEIGHT), (HEIGHT, WIDTH + 1), (HEIGHT - 1, WIDTH)])
def test_a_photo_of_another_size_than_annotated_is_named(sample, size):
    loaded = LoadPhoto().transform(dict(sample, height=size[0], width=size[1]))
    with pytest.raises(ValueError) as error:
        LoadReferringMask().transform(loaded)
    assert f'photo.png is (20, 30), its annotation says {size} (height, width)' in str(error.value)


@pytest.mark.parametrize(
    'segmentation',
    [[[1, 2]], [['a'] * 6], 'x', {}, dict(size=[20, 30]), dict(size=[20, 30], counts='garbage')],
)
def test_a_broken_mask_is_named(sample, segmentation):
    with pytest.raises(ValueError, match=r'ref_id 17 of .*photo\.png: its segmentation does not decode'):
        LoadReferringMask().transform(LoadPhoto().transform(dict(sample, segmentation=segmentation)))


def test_an_empty_mask_is_named(sample):
    nothing = dict(size=[HEIGHT, WIDTH], counts=[HEIGHT * WIDTH])
    with pytest.raises(ValueError, match=r'ref_id 17 of .*photo\.png has an empty mask'):
        LoadReferringMask().transform(LoadPhoto().transform(dict(sample, segmentation=nothing)))


def test_a_photo_without_annotation_passes(sample):
    own = LoadPhoto().transform(dict(img_path=sample['img_path'], sentences=['dog'], sent_ids=[0]))
    assert LoadReferringMask().transform(dict(own)).keys() == own.keys()


def test_every_sentence_is_picked_and_keeps_its_id(sample):
    np.random.seed(0)
    picked = [PickSentence().transform(dict(sample)) for _ in range(300)]
    pairs = [(p['sentence'], p['sent_id']) for p in picked]
    expected = set(zip(sample['sentences'], sample['sent_ids'], strict=True))
    assert set(pairs) == expected
    assert all(70 < pairs.count(pair) < 130 for pair in expected)


def test_the_pipeline_of_the_published_configs(sample):
    init_default_scope('mmseg')
    cfg = load_config(REPO / 'configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py')
    packed = Compose(cfg.test_dataloader.dataset.pipeline)(sample)
    assert packed['inputs'].shape == (3, 480, 480)
    truth = packed['data_samples']
    assert truth.gt_sem_seg.data.shape == (1, 480, 480)
    assert truth.sentence in sample['sentences'] and truth.sent_id - 40 == sample['sentences'].index(truth.sentence)
    assert truth.ori_shape == (HEIGHT, WIDTH) and truth.img_path == sample['img_path'] and truth.ref_id == 17
    # Pillow's bilinear filter, as the official baseline, not OpenCV's
    theirs = Image.fromarray(cv2.imread(sample['img_path'])).resize((480, 480), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(packed['inputs'].permute(1, 2, 0).numpy(), theirs)


# Photos of all kinds


BLOCKS = np.kron(np.random.default_rng(3).integers(0, 256, (4, 5, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))


def write_kind(path: Path, kind: str) -> np.ndarray:
    """Write BLOCKS as that kind of file; returns what it shows, RGB."""
    photo = Image.fromarray(BLOCKS)
    grey = np.asarray(photo.convert('L'))
    if kind in ('L', 'LA', 'P', '1', 'RGBA'):
        converted = photo.convert(kind)
        converted.save(path.with_suffix('.png'))
        path.with_suffix('.png').rename(path)
        return np.asarray(converted.convert('RGB'))
    if kind == '16-bit grey':
        assert cv2.imwrite(str(path.with_suffix('.png')), grey.astype(np.uint16) * 257)
        path.with_suffix('.png').rename(path)
        return np.repeat(grey[..., None], 3, axis=2)
    if kind == '16-bit colour':
        assert cv2.imwrite(str(path.with_suffix('.png')), BLOCKS[..., ::-1].astype(np.uint16) * 257)
        path.with_suffix('.png').rename(path)
        return BLOCKS
    if kind == 'EXIF':
        exif = photo.getexif()
        exif[0x112] = 6  # on its side: to be turned by 90 degrees
        photo.save(path, quality=100, subsampling=0, exif=exif.tobytes())
        return np.rot90(BLOCKS, -1)
    photo.convert('CMYK' if kind == 'CMYK' else 'L').save(path, quality=100)
    return BLOCKS if kind == 'CMYK' else np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize(
    'kind', ['L', 'LA', 'P', '1', 'RGBA', '16-bit grey', '16-bit colour', 'EXIF', 'CMYK', 'grey JPEG']
)
def test_photos_of_all_kinds_become_colour_of_eight_bits(tmp_path, kind):
    shown = write_kind(tmp_path / 'photo.jpg', kind)
    photo = LoadPhoto()(dict(img_path=str(tmp_path / 'photo.jpg')))['img']
    assert photo.dtype == np.uint8
    np.testing.assert_allclose(photo[..., ::-1].astype(int), shown, atol=6 if kind in ('EXIF', 'CMYK') else 1)


def test_a_truncated_photo_is_refused_by_name(tmp_path):
    data = io.BytesIO()
    Image.fromarray(BLOCKS).save(data, 'JPEG')
    (tmp_path / 'half.jpg').write_bytes(data.getvalue()[: len(data.getvalue()) * 2 // 3])
    with pytest.raises(ValueError, match=r'half\.jpg: not a readable image'):
        LoadPhoto()(dict(img_path=str(tmp_path / 'half.jpg')))


# Once per photo, once per object


def once(size=(11, 9)) -> OncePerPhoto:
    return OncePerPhoto([dict(type='LoadPhoto'), dict(type='Resize', scale=size, backend='pillow')])


def counted(monkeypatch, module: str, name: str) -> list:
    """The arguments of all calls of a function."""
    calls, function = [], getattr(importlib.import_module(module), name)
    monkeypatch.setattr(f'{module}.{name}', lambda *args, **kwargs: calls.append(args) or function(*args, **kwargs))
    return calls


def test_a_photo_is_decoded_and_resized_once(sample, monkeypatch):
    loads = []
    monkeypatch.setattr(LoadPhoto, 'transform', lambda self, r, f=LoadPhoto.transform: loads.append(r) or f(self, r))
    transform = once()
    results = [transform(dict(sample, sent_id=i)) for i in range(3)]
    assert len(loads) == 1
    assert [r['sent_id'] for r in results] == [0, 1, 2]
    plain = Compose([LoadPhoto(), dict(type='Resize', scale=(11, 9), backend='pillow')])(dict(sample))
    for result in results:
        np.testing.assert_array_equal(result['img'], plain['img'])
        assert result['img_shape'] == (9, 11) and result['ori_shape'] == plain['ori_shape']
        assert result['segmentation'] == sample['segmentation']


def test_photos_in_memory_are_told_apart_by_what_they_are_not_by_what_they_show(sample):
    transform, photo = once(), LoadPhoto().transform(dict(sample))['img']
    first = transform(dict(sample, img_path='', img=photo))
    np.testing.assert_array_equal(first['img'], once()(dict(sample))['img'])
    assert transform(dict(sample, img_path='', img=photo))['img'] is first['img']
    other = transform(dict(sample, img_path='', img=photo[:, ::-1].copy()))
    np.testing.assert_array_equal(other['img'], first['img'][:, ::-1])
    assert transform(dict(sample, img_path='', img=photo.copy()))['img'] is not first['img']
    np.testing.assert_array_equal(transform(dict(sample))['img'], first['img'])


def test_a_kept_photo_cannot_be_changed(sample):
    with pytest.raises(ValueError, match='read-only'):
        once()(dict(sample))['img'][:] = 0


def test_the_next_photo_is_loaded_and_a_broken_one_leaves_nothing(sample, tmp_path):
    transform = once()
    first = transform(dict(sample))
    with pytest.raises(FileNotFoundError):
        transform(dict(sample, img_path=str(tmp_path / 'gone.png')))
    other = tmp_path / 'other.png'
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 7, np.uint8)).save(other)
    assert (transform(dict(sample, img_path=str(other)))['img'] == 7).all()
    np.testing.assert_array_equal(transform(dict(sample))['img'], first['img'])


def test_a_mask_is_decoded_once_an_object_and_handed_out_as_a_copy(sample, monkeypatch):
    calls = counted(monkeypatch, 'mgfe_ris.datasets.transforms', 'decode_segmentation')
    transform = LoadReferringMask()
    loaded = LoadPhoto().transform(dict(sample))
    first = transform(dict(loaded))['gt_seg_map']
    before = first.copy()
    first[:] = 9
    np.testing.assert_array_equal(transform(dict(loaded))['gt_seg_map'], before)
    assert len(calls) == 1
    other = [[3, 2, 12, 2, 12, 9]]
    smaller = transform(dict(loaded, segmentation=other))['gt_seg_map']
    assert smaller.sum() < before.sum(), 'the same ref_id, another mask'
    transform(dict(loaded, segmentation=other, img_path='elsewhere'))
    assert len(calls) == 3


def test_behind_resize_the_mask_is_what_resize_makes_of_it(sample):
    resize = dict(type='Resize', scale=(11, 9), backend='pillow')
    before = Compose([LoadPhoto(), LoadReferringMask(), resize])(dict(sample))
    behind = Compose([once(), LoadReferringMask()])(dict(sample))
    np.testing.assert_array_equal(behind['gt_seg_map'], before['gt_seg_map'])
    np.testing.assert_array_equal(behind['img'], before['img'])
    assert behind['gt_seg_map'].shape == (9, 11)


@pytest.mark.parametrize('order', ['after Resize', 'ahead of Resize'])
def test_a_mask_to_score_at_the_photos_size_stays_as_it_is(sample, order):
    resize = dict(type='Resize', scale=(11, 9), backend='pillow')
    pipeline = [once(), LoadReferringMask()] if order == 'after Resize' else [LoadPhoto(), LoadReferringMask(), resize]
    kept = Compose(pipeline)(dict(sample, score_at='photo'))
    assert kept['img'].shape[:2] == (9, 11)
    np.testing.assert_array_equal(kept['gt_seg_map'], LoadReferringMask()(dict(sample))['gt_seg_map'])
