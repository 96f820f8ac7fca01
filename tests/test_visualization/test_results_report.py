"""Reports of results, from lines made by hand."""

import itertools
import json

import numpy as np
import pycocotools.mask as coco_mask
import pytest
from PIL import Image

from mgfe_ris.visualization import (
    Response,
    at_percentiles,
    category_table,
    draw_stages,
    factors,
    plot_factors,
    read_results,
    side_by_side,
    unmet_table,
    worst,
)
from mgfe_ris.visualization.draw import PREDICTION
from mgfe_ris.visualization.feature_maps import heat, outlined
from mgfe_ris.visualization.results_report import group, mean_and_error


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
            dict(
                img_path=str(path),
                img_id=photo,
                ref_id=ref,
                sent_id=ref,
                sentence=sentence,
                iou=iou,
                intersection=1,
                union=2,
            )
            | dict(truth=rle(truth), pred=rle(square(2, 2, side // 2)))
        )
    return made


def shares(picture, colour):
    """How much of the picture has the outline's colour."""
    return (np.abs(picture.astype(int) - colour).sum(-1) == 0).mean()


def below(picture):
    """Without the title: from the first row that is no text on white."""
    inked = ~((picture == 255) | (picture == 0)).all(-1)
    return picture[np.flatnonzero(inked[:, :192].mean(1) > 0.9)[0] :]


def test_photos_are_found_from_another_folder(records, tmp_path, monkeypatch):
    """As a test in ``project/`` names them, of results in ``project/out/run``."""
    root = tmp_path / 'project'
    (root / 'data').mkdir(parents=True)
    (root / 'out/run').mkdir(parents=True)
    (tmp_path / '1.png').rename(root / 'data/1.png')
    lines = [{**records[0], 'img_path': 'data/1.png'}, {**records[1], 'img_path': 'data/gone.png'}]
    path = root / 'out/run/val.jsonl'
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    monkeypatch.chdir(tmp_path)
    assert [record['img_path'] for record in read_results(path)] == [str(root / 'data/1.png'), 'data/gone.png']
    monkeypatch.chdir(root)
    assert read_results('out/run/val.jsonl') == lines


def test_side_by_side_shows_the_target_and_each_model(records):
    blank = [dict(record, pred=rle(np.zeros((40, 40), bool)), iou=0.0) for record in records]
    picture = side_by_side({'none': blank, 'ours': records}, [0, 2])
    columns = [below(picture)[:, i * 198 : i * 198 + 192] for i in range(3)]
    assert picture.shape[1] == 3 * 198
    assert np.array_equal(columns[0][:192], outlined(np.full((192, 192, 3), 128, np.uint8), square(2, 2, 20)))
    assert shares(columns[0], PREDICTION) == shares(columns[1], PREDICTION) == 0 < shares(columns[2], PREDICTION)
    at_input = [dict(record, truth=rle(np.zeros((20, 20), bool))) for record in records]
    with pytest.raises(ValueError, match='b and a compared masks at other sizes'):
        side_by_side({'a': records, 'b': at_input}, [0])
    with pytest.raises(ValueError, match='b was tested on other samples than a'):
        side_by_side({'a': records, 'b': records[::-1]}, [0])


def test_the_worst_objects_come_first_and_once(records, monkeypatch):
    drawn = []

    def draw(results, chosen, title):
        drawn.append((list(chosen), title))
        return side_by_side(results, chosen, title)

    monkeypatch.setattr('mgfe_ris.visualization.results_report.side_by_side', draw)
    again = dict(records[2], sent_id=13, iou=0.2)
    others = [dict(record, iou=1.0) for record in [*records, again]]
    worst({'others': others, 'ours': [*records, again]}, 2)
    assert drawn[-1] == ([2, 1], 'Lowest IoU of ours: 2 of 3 objects, each with its worst sentence. ')
    none = [dict(record, iou=0.0) for record in [*records, again]]
    worst({'ours': none}, 2)
    assert drawn[-1][0] == [0, 1], 'the largest'
    assert drawn[-1][1].endswith('3 objects have a sentence with an IoU of 0: shown are the largest of them. ')
    worst({'ours': none}, 9)
    assert len(drawn[-1][0]) == 3 and 'IoU of 0' not in drawn[-1][1], 'all are shown'


def test_percentiles_go_by_iou():
    of = [dict(iou=iou) for iou in (0.5, 0.0, 0.9, 0.0, 0.7)]
    assert at_percentiles(of, [0, 25, 50, 75, 100]) == [1, 3, 0, 4, 2], 'of the same IoU the earlier line first'
    assert at_percentiles(of, [90, 60, 50, 40]) == [2, 0], 'each sample once, in the order that is asked for'
    assert at_percentiles(of[:1], [0, 100]) == [0]
    for beyond in (-1, 100.5, float('nan')):
        with pytest.raises(ValueError, match=rf'a percentile lies in \[0, 100\]; got {beyond:g}'):
            at_percentiles(of, [50, beyond])


# Lines


def test_lines_are_read_as_they_were_written(records, tmp_path):
    said = [dict(record, sentence='one\u2028two\x85«é»', others=3) for record in records]
    path = tmp_path / 'val.jsonl'
    path.write_text(''.join(json.dumps(record, ensure_ascii=False) + '\n' for record in said), encoding='utf-8')
    assert read_results(path) == said


@pytest.mark.parametrize(
    ('line', 'reason'),
    [
        ('{"img_path": "a.jp', r'not JSON \(.*\); was the test that wrote it interrupted\?'),
        ('', 'not JSON'),
        ('[1, 2]', r'expected what a test says of a sample, got \[1, 2\]'),
        ('{"loss": 0.5}', 'img_path, sentence, img_id, ref_id, sent_id, intersection, union, iou, pred, truth missing'),
        (dict(iou='high'), 'iou missing or of another form than tools/test.py writes'),
        (dict(truth=dict(size=[4, 4])), 'truth missing'),
        (dict(pred=dict(size=[4, '4'], counts='0')), 'pred missing'),
    ],
)
def test_a_line_that_no_test_wrote_is_named(records, tmp_path, line, reason):
    path = tmp_path / 'val.jsonl'
    line = json.dumps({**records[1], **line}) if isinstance(line, dict) else line
    path.write_text(f'{json.dumps(records[0])}\n{line}\n')
    with pytest.raises(ValueError, match=f'val.jsonl, line 2: {reason}'):
        read_results(path)


def test_a_file_of_no_text(tmp_path):
    (tmp_path / 'a.jsonl').write_bytes(b'\x89PNG\xff')
    with pytest.raises(ValueError, match=r'a.jsonl: no text in UTF-8'):
        read_results(tmp_path / 'a.jsonl')
    (tmp_path / 'a.jsonl').write_text('')
    with pytest.raises(ValueError, match=r'a.jsonl: no samples'):
        read_results(tmp_path / 'a.jsonl')


# Over factors


def test_factors_of_each_sample(records):
    size, words, others, same = factors(records).values()
    assert size.tolist() == [25, 6.25, 1.5625] and words.tolist() == [2, 3, 1]
    assert others is None and same is None, 'lines of an older version'
    told = [dict(record, others=4 - i, same_category=i) for i, record in enumerate(records)]
    _, _, others, same = factors(told).values()
    assert others.tolist() == [4, 3, 2] and same.tolist() == [0, 1, 2]
    assert factors([*told, records[0]])['other annotated objects in the photo'] is None, 'one line lacks it'


def test_groups_are_large_enough_and_hold_every_value_once():
    random = np.random.default_rng(0)
    for values in (
        np.repeat([0, 1, 2, 5], [100, 3, 50, 7]),
        random.geometric(0.3, 1000),
        random.lognormal(size=500),
        random.lognormal(size=30),
        random.lognormal(size=500) * 1e-3,
        np.full(50, 0.1),
        np.array([3]),
    ):
        number, labels = group(values)
        sizes = np.bincount(number, minlength=len(labels))
        assert len(number) == len(values) and 1 <= len(labels) <= 6 and len(sizes) == len(labels)
        assert sizes.min() >= min(20, len(values)), 'merged with what is beside'
        assert (np.diff(number[np.argsort(values, kind='stable')]) >= 0).all(), 'in order of the values'


def test_groups_are_named_by_what_is_in_them():
    for values, names in (
        (np.repeat([1, 2, 5], 20), ['1', '2', '5']),
        (np.repeat([0, 1, 2, 3], [30, 5, 40, 20]), ['0 to 1', '2', '3']),
        (np.repeat(np.arange(12), 20), ['0 to 1', '2 to 3', '4 to 5', '6 to 7', '8 to 9', '10 to 11']),
        (np.array([1, 2, 4]), ['1 to 4']),
    ):
        assert group(values)[1] == names


def test_printed_borders_are_the_borders():
    """Ranges rounded for print would overlap."""
    values = np.random.default_rng(0).lognormal(size=600) * 0.01
    number, labels = group(values)
    borders = [float(label.split()[-1]) for label in labels[:-1]]
    assert labels[0] == f'< {borders[0]:g}' and labels[-1] == f'≥ {borders[-1]:g}' and len(labels) == 6
    assert labels[1:-1] == [f'{low:g} to < {high:g}' for low, high in itertools.pairwise(borders)]
    assert np.array_equal(number, np.digitize(values, borders))


def test_sentences_about_one_photo_are_one_observation():
    """Twice the sentences that say the same of the same photos leave the error as it was."""
    values = np.random.default_rng(0).random(40)
    photos = np.arange(40)
    mean, error = mean_and_error(values, photos)
    assert (mean, error) == pytest.approx((values.mean(), values.std(ddof=1) / np.sqrt(40)))
    assert mean_and_error(np.tile(values, 7), np.tile(photos, 7)) == pytest.approx((mean, error))
    assert np.isnan(mean_and_error(values, np.zeros(40, int))[1]), 'one photo says nothing of others'


def test_the_error_is_that_of_the_mean_over_draws_of_photos():
    """The bootstrap over photos finds the same; with samples taken for independent it would be half of it."""
    random = np.random.default_rng(0)
    photos = np.repeat(np.arange(200), random.integers(1, 10, 200))
    values = random.normal(size=200)[photos] + 0.3 * random.normal(size=len(photos))
    sums, sizes = np.bincount(photos, values), np.bincount(photos)
    drawn = random.integers(200, size=(4000, 200))
    of_draws = (sums[drawn].sum(1) / sizes[drawn].sum(1)).std()
    error = mean_and_error(values, photos)[1]
    assert error == pytest.approx(of_draws, rel=0.05)
    assert error > 1.8 * values.std() / np.sqrt(len(values))


@pytest.mark.parametrize('counted', [True, False])
def test_the_plot_says_what_it_shows(records, tmp_path, monkeypatch, counted):
    from matplotlib.figure import Figure

    saved = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, 'savefig', lambda figure, *a, **k: saved.append(figure) or save(figure, *a, **k))
    many = [
        dict(r, sent_id=i) | (dict(others=i % 3, same_category=0) if counted else {})
        for i in range(40)
        for r in records
    ]
    weak = [dict(record, iou=0.0) for record in many]
    plot_factors({'a': many, 'b': weak}, tmp_path / 'x/factors.png')
    assert np.asarray(Image.open(tmp_path / 'x/factors.png')).std() > 10
    (figure,) = saved
    size, words, others, _ = figure.axes
    assert 'about 2 photos' in figure.get_suptitle() and '95 % intervals' in figure.get_suptitle()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['a', 'b']
    assert [tick.get_text() for tick in size.get_xticklabels()] == [
        '< 6.2\nn = 40',
        '6.2 to < 25\nn = 40',
        '≥ 25\nn = 40',
    ]
    assert [tick.get_text() for tick in words.get_xticklabels()] == ['1\nn = 40', '2\nn = 40', '3\nn = 40']
    assert size.containers[0].lines[0].get_ydata() == pytest.approx([10, 50, 90])
    assert others.get_xlabel() == 'other annotated objects in the photo'
    assert len(others.containers) == 2 * counted
    assert counted or 'not counted in these results' in others.texts[0].get_text()
    with pytest.raises(ValueError, match='b was tested on other samples than a'):
        plot_factors({'a': many, 'b': many[1:]}, tmp_path / 'y.png')


# Stages


def test_heat_has_the_scale_that_it_is_told():
    photo = np.full((40, 40, 3), (200, 100, 0), np.uint8)
    values = np.zeros((4, 4))
    values[:2] = 7.0
    ends = heat(photo, values, 7, alpha=1.0)
    assert np.abs(ends[2, 2].astype(int) - (253, 231, 36)).max() < 3, 'the high end of viridis'
    assert np.abs(ends[-3, 2].astype(int) - (68, 1, 84)).max() < 3, 'its low end'
    assert np.array_equal(heat(photo, values, 3.5), heat(photo, values, 7)), 'what is higher looks the same'
    assert np.abs(heat(photo, values, 14, alpha=1.0)[2, 2].astype(int) - (33, 144, 140)).max() < 4, 'its middle'
    assert heat(photo, values, 7, alpha=0.0).std(-1).max() == 0, 'the photo is grey'
    assert heat(photo, np.zeros((3, 3)), 0).shape == photo.shape, 'a map of nothing is drawn'


def test_an_outline_shows_on_every_colour():
    for colour in ((0, 0, 0), (255, 255, 255), (253, 231, 36)):
        photo = np.full((40, 40, 3), colour, np.uint8)
        picture = outlined(photo, square(4, 4, 8, size=20))
        assert (picture[8, 8:23] == 255).all() and (picture[7, 8:23] == 0).all(), 'twice the size'
        assert (picture[11:20, 11:20] == colour).all() and (picture[30:] == colour).all()
    assert np.array_equal(outlined(photo, np.zeros((40, 40), bool)), photo), 'no target'


def test_stages_stand_in_rows_of_v_of_f_and_of_its_change(monkeypatch):
    drawn = []

    def record_heat(photo, values, highest):
        drawn.append((values, highest))
        return heat(photo, values, highest)

    monkeypatch.setattr('mgfe_ris.visualization.feature_maps.heat', record_heat)
    v, f = np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 4, 4))
    v[:, :2, 0, 0] = 3, 4  # two channels: a norm of 5
    f[:, 0, 1, 1] = 2, 6
    f_of_other = f.copy()
    f_of_other[1, 0, 2, 2] = 8
    photo, blank, full = np.full((40, 40, 3), 128, np.uint8), np.zeros((40, 40), bool), np.ones((40, 40), bool)
    v[1] *= 2
    asked = Response('the red one', blank, list(zip(v, f, strict=True)))
    other = Response('the blue one', full, list(zip(v, f_of_other, strict=True)))
    picture = draw_stages(photo, square(2, 2, 10), asked, other)
    assert picture.shape[1] == 3 * 198 and picture.shape[0] > 3 * 192
    maps, highest = zip(*drawn, strict=True)
    assert highest == pytest.approx((5, 10, 2, 8, 2, 8)), 'F and its change share a scale'
    assert maps[4].max() == 0 and maps[5][2, 2] == 8 and maps[5].sum() == 8
    thirds = np.array_split(picture[:, :192], 3)
    assert [shares(part, PREDICTION) > 0 for part in thirds] == [False, False, True], 'its own prediction in each row'


def test_iou_per_category(records):
    assert category_table(dict(a=records)) == '', 'no line names one'
    changed = dict(iou=0.3, intersection=3, union=10)
    named = [dict(r, category=name) for r, name in zip(records, ('x|y', 'cup', 'dog'), strict=True)]
    named += [dict(records[0], category='x|y', **changed), records[1]]
    table = category_table(dict(a=named, b=named), most=2).splitlines()
    assert table[0] == '| category | sentences | a oIoU | a mIoU | b oIoU | b mIoU |' and len(table) == 5
    numbers = '| 33.3 | 60.0 '  # (1 + 3) / (2 + 10), and (0.9 + 0.3) / 2
    assert table[2] == f'| x\\|y | 2 {numbers}{numbers}|'
    assert table[3].startswith('| cup | 1 | 50.0 | 50.0 |') and table[4].startswith('| 1 others | 1 | 50.0 | 10.0 |')


def test_a_row_for_as_many_new_words(records):
    said = ('The red cup!', 'red cup of tea', 'Blue bowl of blue tea', 'the cup')
    lines = [dict(records[i % 3], sentence=sentence) for i, sentence in enumerate(said)]
    head, _, *rows = unmet_table(dict(a=lines), frozenset(('the', 'red', 'cup', 'of'))).splitlines()
    assert head == '| new words | sentences | a oIoU | a mIoU |'
    assert [row.split(' | ')[:2] for row in rows] == [['| 0', '2'], ['| 1', '1'], ['| 2 or more', '1']]
    assert [row.split(' | ')[3] for row in rows] == ['90.0 |', '50.0 |', '10.0 |'], 'records 0 and 3 are alike'
    assert '| 2 or more | 4 |' in unmet_table(dict(a=[lines[2]] * 4), frozenset()), 'no line for what no sentence has'
