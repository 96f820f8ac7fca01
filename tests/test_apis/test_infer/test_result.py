"""What a result says of its mask, against counting pixels."""

import json
import re
from dataclasses import replace

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image

from mgfe_ris.apis import RISResult
from mgfe_ris.datasets import LoadPhoto
from mgfe_ris.visualization import caption, overlay

HEIGHT, WIDTH = 30, 50
PHOTO = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def result_of(mask: np.ndarray, photo=PHOTO) -> RISResult:
    score = np.where(mask, 0.75, 0.25) + np.random.default_rng(1).uniform(-0.2, 0.2, mask.shape)
    return RISResult(photo, 'left dog', score.astype(np.float32), mask)


def blob() -> np.ndarray:
    mask = np.random.default_rng(2).random((HEIGHT, WIDTH)) > 0.9
    mask[:4] = mask[:, :7] = mask[-2:] = mask[:, -5:] = False
    mask[11, 13] = True
    return mask


def one_pixel(y: int, x: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y, x] = True
    return mask


MASKS = {
    'blob': blob(),
    'corner': one_pixel(0, 0),
    'other corner': one_pixel(HEIGHT - 1, WIDTH - 1),
    'full': np.ones((HEIGHT, WIDTH), bool),
    'empty': np.zeros((HEIGHT, WIDTH), bool),
}


@pytest.mark.parametrize('name', MASKS)
def test_box_area_and_confidence(name):
    mask = MASKS[name]
    result = result_of(mask)
    pixels = [(x, y) for y in range(HEIGHT) for x in range(WIDTH) if mask[y, x]]
    assert result.area == len(pixels) and type(result.area) is int
    if name == 'empty':
        assert result.box is None and result.confidence == 0
        return
    xs, ys = zip(*pixels, strict=True)
    assert result.box == (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
    left, top, right, bottom = result.box
    assert mask[top:bottom, left:right].sum() == len(pixels), 'as slices'
    assert result.confidence == pytest.approx(sum(float(result.score[y, x]) for x, y in pixels) / len(pixels))


@pytest.mark.parametrize('name', MASKS)
def test_run_lengths(name):
    rle = json.loads(json.dumps(result_of(MASKS[name]).rle))
    assert rle['size'] == [HEIGHT, WIDTH]
    np.testing.assert_array_equal(coco_mask.decode(rle).astype(bool), MASKS[name])


def test_a_sure_score_over_many_pixels_is_1():
    ones = np.ones((3000, 3001), np.float32)
    assert RISResult(PHOTO, 'all', ones, ones > 0).confidence == 1


@pytest.mark.parametrize('name', MASKS)
def test_a_line_of_json(name, tmp_path):
    result = result_of(MASKS[name], tmp_path / 'dogs.png')
    line = json.loads(json.dumps(result.to_json()))
    assert line.keys() == {'photo', 'sentence', 'box', 'area', 'confidence', 'understood', 'rle'}
    assert line['photo'] == str(tmp_path / 'dogs.png') and line['sentence'] == 'left dog'
    assert line['box'] == (result.box and list(result.box)) and line['area'] == result.area
    assert line['confidence'] == pytest.approx(result.confidence, abs=1e-4) and line['rle'] == result.rle
    assert result_of(MASKS[name]).to_json()['photo'] is None


def test_the_overlay(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'dogs.png')
    expected = caption(overlay(PHOTO, MASKS['blob']), 'left dog')
    for photo in (PHOTO, tmp_path / 'dogs.png'):
        before = PHOTO.copy()
        picture = result_of(MASKS['blob'], photo).overlay()
        assert picture.dtype == np.uint8 and picture.shape[0] > HEIGHT and picture.shape[1:] == (WIDTH, 3)
        np.testing.assert_array_equal(picture, expected)
        np.testing.assert_array_equal(PHOTO, before)


@pytest.mark.parametrize('kind', ['16 bits', 'turned'])
def test_the_overlay_is_on_what_the_model_saw(tmp_path, kind):
    """Pillow would show 16 bits as white, and a turned photo as it lies in the file."""
    path = tmp_path / 'dogs.png'
    exif = Image.Exif()
    exif[0x112] = 6
    wide = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)
    if kind == '16 bits':
        Image.fromarray(wide).save(path)
    else:
        path = tmp_path / 'dogs.jpg'
        Image.fromarray(PHOTO).save(path, exif=exif)
    seen = LoadPhoto()(dict(img_path=str(path)))['img'][..., ::-1]
    mask = np.zeros(seen.shape[:2], bool)
    np.testing.assert_array_equal(result_of(mask, path).overlay()[: len(seen)], seen)


def test_a_result_in_a_line():
    assert repr(result_of(one_pixel(2, 3))).startswith(
        "RISResult(sentence='left dog', box=(3, 2, 4, 3), area=1, confidence=0."
    )


def test_saved_files(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'my.dogs.png')
    result = result_of(MASKS['blob'], tmp_path / 'my.dogs.png')
    paths = result.save(tmp_path / 'new/out')
    names = ['my.dogs_left-dog_mask.png', 'my.dogs_left-dog_overlay.png']
    assert paths == [tmp_path / 'new/out' / name for name in names]
    with Image.open(paths[0]) as saved:
        assert saved.mode == 'L'
        np.testing.assert_array_equal(saved, 255 * MASKS['blob'].astype(np.uint8))
    with Image.open(paths[1]) as saved:
        np.testing.assert_array_equal(saved, result.overlay())
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [path.name for path in paths]


def test_names_of_saved_files(tmp_path):
    result = result_of(MASKS['empty'])
    assert [path.name for path in result.save(tmp_path, 'dog 1')] == ['dog 1_mask.png', 'dog 1_overlay.png']
    with pytest.raises(ValueError, match=r'came from no file has no name: save\(folder, name\)'):
        result.save(tmp_path / 'other')
    assert not (tmp_path / 'other').exists()


@pytest.mark.parametrize(
    ('sentence', 'name'),
    [('the left dog', 'the-left-dog'), ('左边的狗', '左边的狗'), ('dog/../x: "left"', r'dog-x-left-\w{8}')]
    + [('狗' * 300, '狗' * 50 + r'-\w{8}'), ('?!', r'-\w{8}')],
)
def test_a_sentence_as_a_name(tmp_path, sentence, name):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    result = replace(result_of(MASKS['blob'], tmp_path / 'a.png'), sentence=sentence)
    assert re.fullmatch(f'a_{name}_mask.png', result.save(tmp_path / 'out')[0].name)


def test_sentences_that_are_nearly_alike_have_names_of_their_own(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / 'a.png')
    for sentence in ('the ring', 'the ring!', 'the ring?', 'the  ring', 'ring ' * 50, 'ring ' * 51):
        replace(result_of(MASKS['blob'], tmp_path / 'a.png'), sentence=sentence).save(tmp_path / 'out')
    assert len(list((tmp_path / 'out').iterdir())) == 12


def test_a_photo_that_is_gone_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        result_of(MASKS['blob'], tmp_path / 'gone.png').save(tmp_path / 'out')
    assert not list(tmp_path.iterdir())
