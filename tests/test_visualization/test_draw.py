"""Masks on photos, text below them, pictures in rows."""

import itertools

import cv2
import numpy as np
import pytest
from PIL import Image

from mgfe_ris.visualization import PALETTE, caption, grid, overlay, read_photo
from mgfe_ris.visualization.draw import PREDICTION, TRUTH, outlined

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


def ink(picture: np.ndarray) -> float:
    return float((255 - picture.astype(float)).sum())


def depth_of(mask: np.ndarray) -> np.ndarray:
    """Distance to the next pixel outside of the mask or the photo, of all pairs of pixels."""
    padded = np.pad(mask, 1)
    inside, outside = (np.argwhere(where) for where in (padded, ~padded))
    depth = np.zeros(padded.shape)
    depth[padded] = np.sqrt(((inside[:, None] - outside) ** 2).sum(-1).min(1))
    return depth[1:-1, 1:-1]


def test_only_the_mask_is_coloured(photo, mask):
    mask[:5, :9] = True  # at the photo's corner
    before = photo.copy()
    drawn = overlay(photo, mask, TRUTH, alpha=0.4)
    np.testing.assert_array_equal(drawn[~mask], photo[~mask])
    line, white = ((low <= depth_of(mask)) & (depth_of(mask) < high) for low, high in ((1, 1.5), (1.5, 2.5)))
    assert line[0, :9].all() and line[15, 20] and line[19, 31] and white[1, 1:8].all()
    assert (drawn[line] == TRUTH).all() and (drawn[white] == 255).all()
    filled = mask & ~line & ~white
    blend = 0.6 * photo[filled] + 0.4 * np.array(TRUTH)
    assert filled.any() and np.abs(drawn[filled] - blend).max() <= 0.5 + 1e-9
    np.testing.assert_array_equal(photo, before)


@pytest.mark.parametrize(('side', 'line', 'white'), [(64, 1, 1), (120, 2, 1), (480, 2, 1), (640, 3, 1), (2000, 10, 5)])
def test_lines_grow_with_the_photo(side, line, white):
    photo = np.full((side // 2, side, 3), 90, np.uint8)
    mask = np.zeros(photo.shape[:2], bool)
    mask[:, side // 4 : -side // 4] = True
    row = overlay(photo, mask)[side // 4, side // 4 :]
    assert (row[:line] == PREDICTION).all() and (row[line : line + white] == 255).all()
    assert (row[line + white] == row[side // 4]).all() and (row[line + white] != 255).any()


@pytest.mark.parametrize('shape', [(1, 1), (1, 30), (2, 2), (30, 2)])
def test_what_is_narrower_than_the_lines_has_the_colour(photo, shape):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[7 : 7 + shape[0], 3 : 3 + shape[1]] = True
    drawn = overlay(photo, mask)
    assert (drawn[mask] == PREDICTION).all() and (drawn[~mask] == photo[~mask]).all()


@pytest.mark.parametrize('value', [False, True])
def test_an_empty_and_a_full_mask(photo, value):
    drawn = overlay(photo, np.full((HEIGHT, WIDTH), value))
    assert (drawn == photo).all() != value


def test_a_mask_of_another_size_is_stretched(photo):
    small = np.zeros((6, 8), bool)
    small[1:3, 4:7] = True
    np.testing.assert_array_equal(overlay(photo, small), overlay(photo, small.repeat(10, 0).repeat(10, 1)))


def test_the_white_line_in_a_black_one(mask):
    small = mask[::2, ::2]
    for value in (0, 255, 128):
        photo = np.full((HEIGHT, WIDTH, 3), value, np.uint8)
        drawn = outlined(photo, mask)
        assert (photo == value).all()
        edge = mask & ~(cv2.erode(mask.astype(np.uint8), np.ones((3, 3)), borderValue=0) > 0)
        near = cv2.dilate(edge.astype(np.uint8), np.ones((5, 5))) > 0
        assert (drawn[10, 20:70] == 255).all() and (drawn[9, 20:70] == 0).all() and (drawn[~near] == value).all()
        np.testing.assert_array_equal(outlined(photo, small), outlined(photo, small.repeat(2, 0).repeat(2, 1)))


def test_photos_are_upright_rgb(tmp_path):
    lying = Image.new('RGB', (20, 10), (250, 0, 0))
    exif = lying.getexif()
    exif[0x0112] = 6  # turn by 90 degrees
    lying.save(tmp_path / 'turned.jpg', exif=exif)
    Image.new('L', (20, 10), 7).save(tmp_path / 'grey.png')
    turned = read_photo(tmp_path / 'turned.jpg')
    assert turned.shape == (20, 10, 3) and turned[5, 5, 0] > 240 and turned[5, 5, 2] < 10
    assert read_photo(tmp_path / 'grey.png').tolist() == [[[7, 7, 7]] * 20] * 10


# Colours, as people see them

# Machado, Oliveira and Fernandes 2009, table 1, severity 1: on linear RGB
EYES = {
    'all cones': np.eye(3),
    'protanopia': [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    'deuteranopia': [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    'tritanopia': [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
)


def lab(colour: np.ndarray, eyes: str) -> np.ndarray:
    """sRGB (0 to 255) -> CIELAB of what such eyes see, white point D65."""
    srgb = np.asarray(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(EYES[eyes] @ linear, 0, 1) / TO_XYZ.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(a: np.ndarray, b: np.ndarray, eyes: str) -> float:
    """In CIELAB (1976); 2.3 is just noticeable."""
    return float(np.linalg.norm(lab(a, eyes) - lab(b, eyes)))


def as_drawn(colour: tuple[int, int, int], grey: int) -> tuple[np.ndarray, np.ndarray]:
    """Line and fill on a grey photo."""
    drawn = overlay(np.full((64, 64, 3), grey, np.uint8), np.ones((64, 64), bool), colour)
    return drawn[0, 0], drawn[32, 32]


def test_lab_is_cielab():
    for colour, expected in (
        ((255, 255, 255), (100, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 0, 0), (0, 0, 0)),
    ):
        np.testing.assert_allclose(lab(colour, 'all cones'), expected, atol=0.05)
    assert all(np.abs(lab((grey,) * 3, eyes)[1:]).max() < 0.1 for grey in (40, 200) for eyes in EYES)
    assert distance((190, 0, 0), (90, 90, 0), 'deuteranopia') < distance((190, 0, 0), (90, 90, 0), 'all cones') / 3


@pytest.mark.parametrize('grey', [0, 128, 255])
@pytest.mark.parametrize('eyes', EYES)
def test_colour_blind_people_tell_the_colours_apart(eyes, grey):
    truth, prediction = as_drawn(TRUTH, grey), as_drawn(PREDICTION, grey)
    assert distance(truth[0], prediction[0], eyes) > 70 and distance(truth[1], prediction[1], eyes) > 40
    assert PALETTE[0] == PREDICTION and len(set(PALETTE)) == 6
    for one, other in itertools.combinations(PALETTE, 2):
        lines, fills = zip(as_drawn(one, grey), as_drawn(other, grey), strict=True)
        assert distance(*lines, eyes) > 15 and distance(*fills, eyes) > 6, (one, other)


@pytest.mark.parametrize('eyes', EYES)
@pytest.mark.parametrize('colour', PALETTE)
def test_the_outline_shows_on_a_photo_of_any_colour(colour, eyes):
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    for ground in (*PALETTE, *((grey,) * 3 for grey in (0, 64, 128, 192, 255))):
        row = overlay(np.full((64, 64, 3), ground, np.uint8), mask, colour)[32, 14:22]
        steps = [distance(a, b, eyes) for a, b in itertools.pairwise(row)]
        assert max(steps) > 35, (colour, ground)


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


def test_an_empty_text_is_an_empty_line():
    assert (strip('', 200) == 255).all() and len(strip('', 200)) == len(strip('left dog', 200))


def test_a_word_is_broken_between_letters_and_not_before_a_mark():
    word = 'q\u0302' * 40
    below = strip(word, 60)
    assert ink(below) == pytest.approx(ink(strip(word, 4000)), rel=0.05)


def test_long_text_takes_more_lines():
    one, many = strip('left dog', 200), strip(LONG, 200)
    assert len(many) > 3 * len(one)
    assert len(strip('a\nb', 200)) > len(strip('a b', 200))


def test_text_grows_with_the_picture():
    assert len(caption(np.zeros((5, 1200, 3), np.uint8), 'dog')) > len(caption(np.zeros((5, 200, 3), np.uint8), 'dog'))


def test_text_does_not_grow_for_ever():
    picture = caption(np.zeros((1, 60_000, 3), np.uint8), 'dog')
    assert len(picture) < 500 and (picture[1:] < 100).any()


# Grids


def test_a_grid():
    pictures = [np.full((h, w, 3), v, np.uint8) for h, w, v in [(10, 20, 1), (14, 16, 2), (8, 20, 3)]]
    rows = grid(pictures, columns=2, gap=6)
    assert rows.shape == (14 + 6 + 8 + 6, 2 * (20 + 6), 3)
    assert (rows[:10, :20] == 1).all() and (rows[:14, 26:42] == 2).all() and (rows[20:28, :20] == 3).all()
    assert (rows == 255).all(-1).sum() == rows.shape[0] * rows.shape[1] - sum(p.shape[0] * p.shape[1] for p in pictures)
