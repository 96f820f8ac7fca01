"""Polygons and run lengths -> pixels, against hand-made masks and pycocotools' own reading."""

import json

import numpy as np
import pycocotools.mask as coco
import pytest
from pycocotools.coco import COCO

from mgfe_ris.datasets.masks import decode_segmentation

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
