"""Polygons and run lengths -> pixels, against hand-made masks and pycocotools' own reading."""

import json
from pathlib import Path

import numpy as np
import pycocotools.mask as coco
import pytest
from PIL import Image, ImageOps
from pycocotools.coco import COCO

from mgfe_ris.datasets.masks import check_parts, decode_segmentation, is_empty, mask_parts, turned, turned_size

HEIGHT, WIDTH = 8, 11


def rectangle(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def polygon(top: int, bottom: int, left: int, right: int) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


@pytest.fixture
def speckled() -> np.ndarray:
    return (np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.4).astype(np.uint8)


def test_polygon():
    mask = decode_segmentation([polygon(1, 4, 2, 6)], HEIGHT, WIDTH)
    np.testing.assert_array_equal(mask, rectangle(1, 4, 2, 6))
    assert mask.dtype == np.uint8


def test_overlapping_polygons_are_their_union():
    boxes = [(1, 5, 2, 6), (3, 7, 4, 9), (0, 2, 9, 11)]
    mask = decode_segmentation([polygon(*box) for box in boxes], HEIGHT, WIDTH)
    np.testing.assert_array_equal(mask, np.maximum.reduce([rectangle(*box) for box in boxes]))


def test_uncompressed_rle_runs_down_the_columns():
    # 9 zeros: column 0 and the top of column 1; 3 ones; the rest
    mask = decode_segmentation(dict(size=[HEIGHT, WIDTH], counts=[9, 3, HEIGHT * WIDTH - 12]), HEIGHT, WIDTH)
    np.testing.assert_array_equal(mask, rectangle(1, 4, 1, 2))


@pytest.mark.parametrize('kind', ['uncompressed', 'compressed', 'compressed bytes'])
def test_rle_of_any_mask(speckled, kind):
    rle = coco.encode(np.asfortranarray(speckled))
    if kind == 'uncompressed':
        flat = speckled.ravel(order='F')
        changes = np.flatnonzero(np.diff(flat)) + 1
        counts = np.diff([0, *changes, flat.size]).tolist()
        rle['counts'] = [0, *counts] if flat[0] else counts
    elif kind == 'compressed':
        rle['counts'] = rle['counts'].decode()  # as JSON holds it
    np.testing.assert_array_equal(decode_segmentation(rle, HEIGHT, WIDTH), speckled)


@pytest.mark.parametrize('counts', [[0, HEIGHT * WIDTH], 'PPYo0'])
def test_an_rle_of_another_size_is_named(counts):
    with pytest.raises(ValueError, match=r'\[11, 8\].*\[8, 11\] \(height, width\)'):
        decode_segmentation(dict(size=[WIDTH, HEIGHT], counts=counts), HEIGHT, WIDTH)


def test_real_annotations_as_pycocotools_reads_them(coco_ref):
    path = coco_ref / 'refcoco/instances.json'
    theirs = COCO(str(path))
    instances = json.loads(path.read_text())
    size = {image['id']: (image['height'], image['width']) for image in instances['images']}
    runs = [a for a in instances['annotations'] if isinstance(a['segmentation'], dict)]
    outlines = [a for a in instances['annotations'] if isinstance(a['segmentation'], list)]
    outlines.sort(key=lambda a: -len(a['segmentation']))  # those of several parts first
    assert len(runs) > 20 and len(outlines[0]['segmentation']) >= 2
    for ann in runs + outlines[:100]:
        mask = decode_segmentation(ann['segmentation'], *size[ann['image_id']])
        np.testing.assert_array_equal(mask, theirs.annToMask(ann), err_msg=str(ann['id']))


# At random, bit for bit


def theirs_of(parts: list, height: int, width: int) -> np.ndarray:
    """pycocotools' own union, of each part by itself."""
    mask = np.zeros((height, width), np.uint8)
    for part in parts:
        if isinstance(part, list):
            part = coco.merge(coco.frPyObjects([part], height, width))
        elif isinstance(part['counts'], list):
            part = coco.frPyObjects(part, height, width)
        mask |= coco.decode(part)
    return mask


@pytest.mark.parametrize('seed', range(40))
def test_random_parts_as_pycocotools_reads_them(seed):
    rng = np.random.default_rng(seed)
    height, width = map(int, rng.integers(1, 70, 2))
    parts: list = []
    for _ in range(rng.integers(1, 6)):
        points = rng.uniform(-0.3, 1.3, (rng.integers(3, 20), 2)) * [width, height]
        pixels = np.asfortranarray((rng.random((height, width)) < rng.random()).astype(np.uint8))
        runs = np.diff([0, *(np.flatnonzero(np.diff(pixels.ravel(order='F'))) + 1), pixels.size]).tolist()
        parts += [
            points.ravel().round(2).tolist(),
            points.ravel().astype(int).tolist(),
            coco.encode(pixels),
            dict(size=[height, width], counts=[0, *runs] if pixels[0, 0] else runs),
        ][rng.integers(0, 4) :][:1]
    np.testing.assert_array_equal(decode_segmentation(parts, height, width), theirs_of(parts, height, width))


@pytest.mark.parametrize('size', [(1, 1), (3, 700), (700, 900), (1, 100_000), (5000, 1)])
def test_compressed_runs_are_checked_as_pycocotools_decodes_them(size):
    """The sum of the counts is the number of pixels, for each string that pycocotools writes."""
    for density in (0, 1e-4, 0.1, 1):
        pixels = np.asfortranarray((np.random.default_rng(0).random(size) < density).astype(np.uint8))
        rle = coco.encode(pixels)
        check_parts([rle], *size)
        assert decode_segmentation(rle, *size).sum() == coco.area(rle) == pixels.sum()
        if len(rle['counts']) > 1:
            with pytest.raises(ValueError, match='counts of an RLE'):
                check_parts([dict(rle, counts=rle['counts'][:-1])], *size)


def test_strings_at_random_are_checked_as_pycocotools_decodes_them():
    """Whatever passes fills the mask in pycocotools, too."""
    rng = np.random.default_rng(0)
    passed = 0
    for _ in range(20_000):
        rle = dict(size=[3, 3], counts=''.join(map(chr, rng.integers(48, 112 if rng.random() < 0.3 else 60, 3))))
        try:
            check_parts([rle], 3, 3)
        except ValueError:
            continue
        passed += 1
        theirs = coco.decode(rle)
        np.testing.assert_array_equal(decode_segmentation(rle, 3, 3), theirs)
        assert coco.area(rle) == theirs.sum()
    assert passed > 50


def test_a_flat_polygon_and_none():
    assert mask_parts(polygon(1, 4, 2, 6)) == [polygon(1, 4, 2, 6)] and mask_parts(None) == []
    np.testing.assert_array_equal(decode_segmentation(polygon(1, 4, 2, 6), HEIGHT, WIDTH), rectangle(1, 4, 2, 6))
    assert not decode_segmentation(None, HEIGHT, WIDTH).any()


# PNG


@pytest.mark.parametrize('mode', ['1', 'L', 'P', 'I;16', 'RGB', 'RGBA', 'LA'])
def test_png(tmp_path, speckled, mode):
    path = tmp_path / 'mask.png'
    pixels = speckled * 255
    picture = Image.fromarray(pixels.astype(np.uint16)) if mode == 'I;16' else Image.fromarray(pixels).convert(mode)
    picture.save(path)
    np.testing.assert_array_equal(decode_segmentation({'png': str(path)}, HEIGHT, WIDTH), speckled)
    both = decode_segmentation([{'png': str(path)}, polygon(1, 4, 2, 6)], HEIGHT, WIDTH)
    np.testing.assert_array_equal(both, np.maximum(speckled, rectangle(1, 4, 2, 6)))


def save(path: Path, pixels: np.ndarray, mode: str | None = None, palette: list[int] | None = None) -> dict:
    picture = Image.fromarray(pixels.astype(np.uint8), mode)
    if palette:
        picture.putpalette(palette)
    picture.save(path)
    return {'png': str(path)}


@pytest.mark.parametrize(
    ('on', 'off'),
    [
        ((255, 255, 255, 255), (255, 255, 255, 0)),  # white, the object in alpha
        ((0, 0, 0, 255), (0, 0, 0, 0)),
        ((255, 255, 255, 255), (0, 0, 0, 0)),
        ((0, 0, 0, 255), (255, 255, 255, 0)),  # what is not seen has some colour
        ((9, 0, 0, 255), (0, 0, 0, 255)),  # alpha says nothing
        ((9, 0, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_colours_and_alpha(tmp_path, speckled, on, off):
    part = save(tmp_path / 'm.png', np.where(speckled[..., None], on, off))
    np.testing.assert_array_equal(decode_segmentation(part, HEIGHT, WIDTH), speckled)
    grey = save(tmp_path / 'm.png', np.where(speckled[..., None], (on[0], on[3]), (off[0], off[3])))
    np.testing.assert_array_equal(decode_segmentation(grey, HEIGHT, WIDTH), speckled)


def test_colours_and_alpha_that_contradict_each_other(tmp_path, speckled):
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[speckled == 1, 0] = 255
    pixels[0, :, 3] = 0
    part = save(tmp_path / 'm.png', pixels)
    with pytest.raises(ValueError, match=r'm\.png: both its colours and its alpha channel vary, and differ'):
        decode_segmentation(part, HEIGHT, WIDTH)
    np.testing.assert_array_equal(decode_segmentation(dict(part, value=[255, 0, 0]), HEIGHT, WIDTH), speckled)


VOC = [0, 0, 0, 128, 0, 0] + [0, 0, 0] * 253 + [224, 224, 192]


@pytest.mark.parametrize('palette', [None, VOC])
@pytest.mark.parametrize('label', [1, 15])
def test_void_is_no_object_beside_a_label(tmp_path, speckled, palette, label):
    pixels = speckled * label
    pixels[0] = 255
    part = save(tmp_path / 'm.png', pixels, palette=palette)
    np.testing.assert_array_equal(decode_segmentation(part, HEIGHT, WIDTH), pixels == label)
    np.testing.assert_array_equal(decode_segmentation(dict(part, value='any'), HEIGHT, WIDTH), pixels > 0)
    np.testing.assert_array_equal(decode_segmentation(dict(part, value=255), HEIGHT, WIDTH), pixels == 255)
    both = save(tmp_path / 'm.png', speckled * 255, palette=palette)
    np.testing.assert_array_equal(decode_segmentation(both, HEIGHT, WIDTH), speckled)


@pytest.mark.parametrize('values', [(1, 2), (1, 2, 255), (128, 255), (90, 200, 255)])
def test_several_values_need_a_word(tmp_path, values):
    pixels = np.zeros((HEIGHT, WIDTH))
    for row, value in enumerate(values):
        pixels[row] = value
    part = save(tmp_path / 'm.png', pixels)
    with pytest.raises(ValueError, match=rf'm\.png has {len(values)} values other than 0 \({values[0]}, .*mask_value'):
        decode_segmentation(part, HEIGHT, WIDTH)
    np.testing.assert_array_equal(decode_segmentation(dict(part, value=values[1]), HEIGHT, WIDTH), pixels == values[1])
    assert decode_segmentation(dict(part, value='any'), HEIGHT, WIDTH).sum() == len(values) * WIDTH


def test_objects_in_colours(tmp_path):
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[0], pixels[1:3] = (255, 0, 0), (0, 0, 255)
    part = save(tmp_path / 'm.png', pixels)
    with pytest.raises(ValueError, match=r'2 values other than 0 \(\[0, 0, 255\], \[255, 0, 0\]\)'):
        decode_segmentation(part, HEIGHT, WIDTH)
    assert decode_segmentation(dict(part, value=[0, 0, 255]), HEIGHT, WIDTH).sum() == 2 * WIDTH


def test_a_palette_that_begins_with_white(tmp_path, speckled):
    """As programs write black and white that they count themselves."""
    part = save(tmp_path / 'm.png', 1 - speckled, palette=[255, 255, 255, 0, 0, 0])
    np.testing.assert_array_equal(decode_segmentation(part, HEIGHT, WIDTH), speckled)
    for value in (1, 'any'):  # of the numbers that are stored
        np.testing.assert_array_equal(decode_segmentation(dict(part, value=value), HEIGHT, WIDTH), 1 - speckled)
    np.testing.assert_array_equal(decode_segmentation(dict(part, value=0), HEIGHT, WIDTH), speckled)


@pytest.mark.parametrize(
    'palette',
    [[200, 0, 0, 0, 0, 0], [255, 255, 0, 0, 0, 0], [255, 255, 255, 0, 0, 0, 9, 0, 0], [0, 0, 0, 255, 255, 255]],
)
def test_a_label_in_black_is_the_object(tmp_path, speckled, palette):
    part = save(tmp_path / 'm.png', speckled, palette=palette)
    np.testing.assert_array_equal(decode_segmentation(part, HEIGHT, WIDTH), speckled)


@pytest.mark.parametrize('orientation', range(1, 9))
def test_a_mask_is_turned_as_pillow_turns_a_photo(speckled, orientation):
    photo = Image.fromarray(speckled)
    photo.getexif()[0x112] = orientation
    np.testing.assert_array_equal(turned(speckled, orientation), np.asarray(ImageOps.exif_transpose(photo)))
    size = turned_size(speckled.shape, orientation)
    assert size == turned(speckled, orientation).shape and turned_size(size, orientation) == speckled.shape


def test_polygons_within_the_first_pixel():
    """No object is that small: they are in parts of the width and the height."""
    part = [0.1, 0.1, 0.9, 0.1, 0.9, 0.9]
    with pytest.raises(ValueError, match=r'polygons within the first pixel, .*"normalized": true .* or multiply'):
        check_parts([part, part], HEIGHT, WIDTH)
    check_parts([part], 3, 3)
    for odd in ([-0.004, 0, 0.5, 0, 0.5, 1.003, 0, 1], [0.2, 0.2, 1.01, 0.2, 0.5, 0.9]):  # rounded, or cut by hand
        for parts in ([odd], [[2, 2, 9, 2, 9, 9], odd], [{'counts': [200], 'size': [10, 20]}, odd]):
            with pytest.raises(ValueError, match='polygons within the first pixel'):
                check_parts(parts, 10, 20)
    check_parts([[0, 0, 1.02, 0, 1, 1]], 10, 20)
    check_parts([{'normalized': [0, 0, 0.04, 0, 0.04, 0.04]}], 10, 20)  # said, and small
    halves = [{'normalized': [0, 0, 0.5, 0, 0.5, 1, 0, 1]}, {'normalized': [0.5, 0, 1, 0, 1, 0.5, 0.5, 0.5]}]
    check_parts(halves, 10, 20)
    mask = decode_segmentation(halves, 10, 20)
    assert mask[:, :10].all() and mask[:5].all() and not mask[5:, 10:].any()
    for bad in ('x', [0, 0, 'a', 1, 1, 1], [0, 0, 3, 0, 3, 9], None):
        with pytest.raises(ValueError, match='a polygon'):
            check_parts([{'normalized': bad}], 10, 20)


def test_pngs_that_do_not_fit(tmp_path):
    path = tmp_path / 'mask.png'
    with pytest.raises(FileNotFoundError, match=r'mask\.png: no such mask'):
        decode_segmentation({'png': str(path)}, HEIGHT, WIDTH)
    for data in (b'', b'\x89PNG', b'no image'):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r'mask\.png: not a readable mask'):
            decode_segmentation({'png': str(path)}, HEIGHT, WIDTH)
    Image.new('L', (HEIGHT, WIDTH)).save(path)
    with pytest.raises(ValueError, match=r'mask\.png is \(8, 11\), the photo is \(11, 8\)'):
        decode_segmentation({'png': str(path)}, HEIGHT, WIDTH)


# Parts that pycocotools would crash on, hang on or misread

NAN, INF = float('nan'), float('inf')
FULL = HEIGHT * WIDTH


@pytest.mark.parametrize(
    ('part', 'reason'),
    [
        ([], 'three points'),
        ([1, 2, 3, 4], 'three points'),
        ([1, 2, 3, 4, 5, 6, 7], 'three points'),
        *(([1, 2, 3, 4, 5, bad], 'leaves the photo') for bad in (NAN, INF, -INF, 17, -9, 1e308, -1e30, 2**63)),
        ([1, 2, 3, 4, 23, 6], 'leaves the photo: x'),
        *(([1, 2, 3, 4, 5, bad], 'a polygon is made of numbers') for bad in ('6', None, {}, 10**400)),
        ([[1, 2]] * 6, 'a polygon is made of numbers'),
        ([True] * 6, 'a polygon is made of numbers'),
        ([0, 0, WIDTH, HEIGHT] * 60_000, 'outline'),
        *((dict(size=size, counts=[FULL]), 'RLE of size') for size in (
            None, 8, 'ab', [8], [8, 11, 1], [11, 8], [8.0, 11.0], [True, 11], [-8, -11], {}, [10**30, 11], 'x' * 10_000,
        )),
        (dict(counts=[FULL]), 'RLE of size'),
        *((dict(size=[8, 11], counts=counts), 'counts of an RLE') for counts in (
            None, 7, [], '', b'', [FULL - 1], [FULL + 1], [-1, FULL + 1], [2**32 + FULL], [2**64], [NAN],
            [1.0, FULL - 1], [True, FULL - 1], ['1'], [[FULL]], 'x', 'o' * 100, 'é', '\ud800', '\0', b'\xff',
            'PPYo', {},
        )),
        ({}, 'made of polygons'),
        ({'png': 7}, 'made of polygons'),
        ('m.png', 'made of polygons'),
        (None, 'made of polygons'),
    ],
)  # fmt: skip
def test_broken_parts(part, reason):
    for parts in ([part], [polygon(1, 4, 2, 6), part]):
        with pytest.raises(ValueError, match=reason + '|surrogates') as error:
            check_parts(parts, HEIGHT, WIDTH)
        assert len(str(error.value)) < 200


@pytest.mark.parametrize('segmentation', [7, 'abc', True, 1.5, ['a'], [None], [7, 'a']])
def test_what_is_no_mask(segmentation):
    with pytest.raises(ValueError, match=r'a mask is made of|three points'):
        decode_segmentation(segmentation, HEIGHT, WIDTH)


def test_a_number_of_seven_characters_is_refused():
    """pycocotools would shift bits out of an int of C, and read another number."""
    rle = dict(size=[8, 11], counts='h' + 'PPPPP' + '0')
    with pytest.raises(ValueError, match='no COCO string'):
        check_parts([rle], 8, 11)


def test_a_jpeg_is_no_mask(tmp_path):
    """Its pixels near an edge are not 0 any more."""
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(tmp_path / 'm.jpg')
    with pytest.raises(ValueError, match=r'm\.jpg is a JPEG'):
        decode_segmentation({'png': str(tmp_path / 'm.jpg')}, HEIGHT, WIDTH)


def test_a_polygon_in_a_photo_of_a_billion_pixels_is_not_decoded(monkeypatch):
    """Sizes are the file's word until a photo's header is looked at."""
    monkeypatch.setattr('pycocotools.mask.decode', lambda *_: pytest.fail('a gigabyte of pixels'))
    big = 2**15 - 1
    assert not is_empty([[5, 5, 7, 5, 7, 6, 5, 6]], big, big)
    assert is_empty([[5.0, 5.0, 5.1, 5.0, 5.1, 5.1]], big, big)
    assert is_empty([{'size': [big, big], 'counts': [big * big]}], big, big)
    with pytest.raises(ValueError, match='a polygon of 150000 points; at most 131072 are read'):
        check_parts([[1.0, 2.0] * 150_000], 40, 60)


@pytest.mark.parametrize('seed', range(40))
def test_emptiness_is_that_of_the_pixels(seed):
    chance = np.random.default_rng(seed)
    x, y = chance.uniform(-1, 9, 2)
    parts = [(np.array([x, y] * 4) + chance.uniform(-0.6, 0.6, 8)).tolist() for _ in range(chance.integers(1, 3))]
    assert is_empty(parts, 7, 8) == (not decode_segmentation(parts, 7, 8).any())
