"""Reports of results, from lines made by hand."""

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image

from mgfe_ris.visualization import draw_stages, factors, heat, plot_factors, side_by_side, worst
from mgfe_ris.visualization.draw import PREDICTION, TRUTH
from mgfe_ris.visualization.results_report import _edges, _labels


def rle(mask):
    found = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return dict(size=found['size'], counts=found['counts'].decode())


def square(y, x, side, size=40):
    mask = np.zeros((size, size), bool)
    mask[y : y + side, x : x + side] = True
    return mask


@pytest.fixture
def records(tmp_path):
    """Two photos, three objects; the IoU falls from one to the next."""
    made = []
    for photo, ref, side, sentence, iou in ((1, 10, 20, 'a b', 0.9), (1, 11, 10, 'a b c', 0.5), (2, 12, 5, 'a', 0.1)):
        path = tmp_path / f'{photo}.png'
        Image.new('RGB', (40, 40), (128, 128, 128)).save(path)
        truth = square(2, 2, side)
        made.append(
            dict(img_path=str(path), img_id=photo, ref_id=ref, sent_id=ref, sentence=sentence, iou=iou)
            | dict(truth=rle(truth), pred=rle(square(2, 2, side // 2)))
        )
    return made


def shares(picture, colour):
    """How much of the picture has the outline's colour."""
    return (np.abs(picture.astype(int) - colour).sum(-1) == 0).mean()


def test_side_by_side_shows_the_truth_and_each_model(records):
    blank = [dict(record, pred=rle(np.zeros((40, 40), bool)), iou=0.0) for record in records]
    picture = side_by_side({'none': blank, 'ours': records}, [0, 2])
    columns = [picture[:, i * 198 : i * 198 + 192] for i in range(3)]
    assert picture.shape[1] == 3 * 198
    assert shares(columns[0], TRUTH) > 0 == shares(columns[0], PREDICTION)
    assert shares(columns[1], PREDICTION) == 0 < shares(columns[2], PREDICTION)
    with pytest.raises(ValueError, match='b was tested on other samples than a'):
        side_by_side({'a': records, 'b': records[::-1]}, [0])


def test_the_worst_come_first(records):
    one, all_of_them = worst(records, 1, columns=1), worst(records, 3, columns=1)
    assert np.array_equal(all_of_them[: len(one)], one) and len(all_of_them) == 3 * len(one)
    last = worst(records[2:], 1, columns=1)
    assert np.array_equal(one, last)


def test_factors_of_each_sample(records):
    found = factors(records)
    assert found['target size, % of the photo'].tolist() == [25, 6.25, 1.5625]
    assert found['words in the sentence'].tolist() == [2, 3, 1]
    assert found['other objects in the photo'].tolist() == [1, 1, 0]


def test_groups_hold_every_value_once():
    for values in (np.array([1, 1, 2, 5]), np.arange(100), np.random.default_rng(0).random(50), np.array([3])):
        edges = _edges(values)
        group = np.digitize(values, edges[1:-1])
        assert group.min() == 0 and group.max() == len(edges) - 2 and len(np.unique(group)) == len(edges) - 1
        assert all(edges[g] <= v < edges[g + 1] for v, g in zip(values, group, strict=True))
        assert len(_labels(values, edges)) == len(edges) - 1 <= 6


def test_groups_are_named_by_their_values():
    for values, names in (
        (np.array([1, 1, 2, 5]), ['1', '2', '5']),
        (np.arange(12), ['0 - 1', '2 - 3', '4 - 5', '6', '7 - 8', '9 - 11']),
        (np.array([0.25, 0.5]), ['0.2', '0.5']),
    ):
        assert _labels(values, _edges(values)) == names


def test_plot_is_drawn(records, tmp_path):
    plot_factors({'a': records, 'b': records[:2]}, tmp_path / 'x/factors.png')
    assert np.asarray(Image.open(tmp_path / 'x/factors.png')).std() > 10


def test_heat_is_yellow_where_values_are_high_and_stages_stand_in_two_rows():
    photo = np.full((40, 40, 3), 128, np.uint8)
    values = np.zeros((4, 4))
    values[:2] = 7.0
    picture = heat(photo, values, alpha=1.0)
    assert np.abs(picture[2, 2].astype(int) - (253, 231, 36)).max() < 3, 'the high end of viridis'
    assert np.abs(picture[-3, 2].astype(int) - (68, 1, 84)).max() < 3, 'its low end'
    assert heat(photo, np.zeros((3, 3))).std() >= 0, 'a map without differences is drawn'
    stages = [(np.random.rand(8, 8), np.random.rand(8, 8)) for _ in range(4)]
    drawn = draw_stages(photo, 'the red one', stages)
    assert drawn.shape[1] == 5 * 198 and drawn.shape[0] > 2 * 192
