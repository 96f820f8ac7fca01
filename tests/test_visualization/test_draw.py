"""Masks on photos, text below them, pictures in rows."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mgfe_ris.visualization import caption, compare, grid, overlay, read_photo
from mgfe_ris.visualization.draw import PREDICTION, TRUTH

HEIGHT, WIDTH = 60, 80


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def mask() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[10:40, 20:70] = True
    mask[20:25, 30:45] = False  # a hole
    return mask


def inner(mask: np.ndarray, neighbours: int) -> np.ndarray:
    """Pixels of the mask whose 4 or 8 neighbours are in it."""
    shape = cv2.MORPH_CROSS if neighbours == 4 else cv2.MORPH_RECT
    return cv2.erode(mask.astype(np.uint8), cv2.getStructuringElement(shape, (3, 3)), borderValue=0) > 0


def ink(picture: np.ndarray) -> float:
    return float((255 - picture.astype(float)).sum())


def test_only_the_mask_is_coloured(photo, mask):
    before = photo.copy()
    drawn = overlay(photo, mask, TRUTH, alpha=0.4)
    np.testing.assert_array_equal(drawn[~mask], photo[~mask])
    filled = inner(inner(inner(mask, 8), 8), 8)  # inside the outline
    assert filled.any()
    blend = 0.6 * photo[filled] + 0.4 * np.array(TRUTH)
    assert np.abs(drawn[filled] - blend).max() <= 1
    assert (drawn[mask & ~inner(mask, 4)] == TRUTH).all()
    np.testing.assert_array_equal(photo, before)


def test_the_outline_of_a_large_photo_stays_near_the_edge(mask):
    photo = np.full((10 * HEIGHT, 10 * WIDTH, 3), 255, np.uint8)
    large = mask.repeat(10, 0).repeat(10, 1)
    changed = (overlay(photo, large) != photo).any(-1)
    near = cv2.dilate(large.astype(np.uint8), np.ones((7, 7))) > 0
    assert changed[large].all() and not changed[~near].any()


@pytest.mark.parametrize('value', [False, True])
def test_an_empty_and_a_full_mask(photo, value):
    drawn = overlay(photo, np.full((HEIGHT, WIDTH), value))
    assert (drawn == photo).all() != value


def test_a_mask_of_another_size_is_stretched(photo):
    small = np.zeros((6, 8), bool)
    small[1:3, 4:7] = True
    np.testing.assert_array_equal(overlay(photo, small), overlay(photo, small.repeat(10, 0).repeat(10, 1)))


def test_photos_are_upright_rgb(tmp_path):
    lying = Image.new('RGB', (20, 10), (250, 0, 0))
    exif = lying.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    lying.save(tmp_path / 'turned.jpg', exif=exif)
    Image.new('L', (20, 10), 7).save(tmp_path / 'grey.png')
    turned = read_photo(tmp_path / 'turned.jpg')
    assert turned.shape == (20, 10, 3) and turned[5, 5, 0] > 240 and turned[5, 5, 2] < 10
    assert read_photo(tmp_path / 'grey.png').tolist() == [[[7, 7, 7]] * 20] * 10


# Text


def strip(text: str, width: int, size: int = 12) -> np.ndarray:
    """What ``caption`` puts below a picture."""
    picture = np.full((5, width, 3), 9, np.uint8)
    whole = caption(picture, text, size)
    np.testing.assert_array_equal(whole[:5], picture)
    return whole[5:]


LONG = 'the jumpy dog by a quay, grey and shaggy, yapping at the big jug of jelly ' * 2


@pytest.mark.parametrize(
    ('text', 'width'),
    [
        ('left dog', 200),
        (LONG, 200),
        (LONG, 60),
        ('Donaudampfschifffahrtsgesellschaftskapitän' * 3, 100),
        ('the Donaudampfschifffahrtsgesellschaftskapitän on the left', 100),
        ('first line\nsecond line, which is a little longer', 90),
    ],
)
def test_no_text_is_cut(text, width):
    below = strip(text, width)
    assert below.shape[1:] == (width, 3)
    assert (below[:, -1] == 255).all() and (below[-1] == 255).all() and (below[0] == 255).all()
    on_one_line = strip(text.replace('\n', ' '), 4000)
    assert ink(below) == pytest.approx(ink(on_one_line), rel=0.05)


def test_long_text_takes_more_lines():
    one, many = strip('left dog', 200), strip(LONG, 200)
    assert len(many) > 3 * len(one)
    assert len(strip('a\nb', 200)) > len(strip('a b', 200))


def test_text_grows_with_the_picture():
    assert len(caption(np.zeros((5, 1200, 3), np.uint8), 'dog')) > len(caption(np.zeros((5, 200, 3), np.uint8), 'dog'))


# Grids


def test_a_grid():
    pictures = [np.full((h, w, 3), v, np.uint8) for h, w, v in [(10, 20, 1), (14, 16, 2), (8, 20, 3)]]
    rows = grid(pictures, columns=2, gap=6)
    assert rows.shape == (14 + 6 + 8 + 6, 2 * (20 + 6), 3)
    assert (rows[:10, :20] == 1).all() and (rows[:14, 26:42] == 2).all() and (rows[20:28, :20] == 3).all()
    assert (rows == 255).all(-1).sum() == rows.shape[0] * rows.shape[1] - sum(p.shape[0] * p.shape[1] for p in pictures)


def test_a_row_of_photo_truth_and_prediction(photo, mask):
    small = mask[::2, ::2]
    row = compare(photo, 'left dog', mask, small, iou=0.756, width=120)
    assert row.shape[1] == 3 * (120 + 6)
    large = cv2.resize(photo, (120, 90), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(row[:90, :120], large)
    np.testing.assert_array_equal(row[:90, 126:246], overlay(large, mask, TRUTH))
    np.testing.assert_array_equal(row[:90, 252:372], overlay(large, small, PREDICTION))
    expected = caption(large, 'prediction, IoU 76 %')
    np.testing.assert_array_equal(row[: len(expected), 252:372][90:], expected[90:])
