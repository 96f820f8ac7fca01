"""Counts of a split, their table and their picture."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mgfe_ris.visualization import SplitStatistics, count_samples, plot_statistics, statistics, statistics_table


def sample(photo: str, mask: np.ndarray | None, *sentences: str) -> dict:
    return dict(img_path=photo, sentences=list(sentences), **({} if mask is None else dict(gt_seg_map=mask)))


@pytest.fixture
def split() -> SplitStatistics:
    """A target of a quarter of its photo, one of 1 %, and samples without one."""
    quarter = np.zeros((64, 96), np.uint8)
    quarter[:32, :48] = 1
    quarter[40:, 60:] = 255  # ignored
    small = np.zeros((100, 100), np.uint8)
    small[90:, 90:] = 1
    return count_samples(
        iter(
            [
                sample('a.jpg', quarter, 'Left dog!', "the man's dog, the black one"),
                sample('a.jpg', small, 'left-most cat'),
                sample('b.jpg', np.zeros((5, 5), np.uint8), 'no such dog'),
                sample('c.jpg', None, '...'),
            ]
        )
    )


def test_counts(split):
    assert split.summary() == {
        'photos': 3,
        'objects': 2,
        'without target': 2,
        'sentences': 5,
        'words per sentence': (2 + 6 + 2 + 3 + 0) / 5,
        'longest, words': 6,
        'different words': 10,
        'median size, % of photo': 13.0,
    }
    assert split.lengths == {0: 1, 2: 2, 3: 1, 6: 1}
    assert split.words['dog'] == 3 and split.words["man's"] == split.words['the'] == split.words['left-most'] == 1
    assert split.sizes == pytest.approx([25, 1])
    assert list(split.words)[:6] == ['dog', 'left', 'black', "man's", 'one', 'the'], 'in every run'


def test_where_targets_lie(split):
    """One of two targets covers the upper left quarter, one the lower right tenth."""
    n = statistics.CELLS
    expected = np.zeros((n, n))
    expected[: n // 2, : n // 2] = 50
    corner = np.clip(np.arange(1, n + 1) - 0.9 * n, 0, 1)  # how much of a cell lies in the last tenth
    expected += 50 * corner[:, None] * corner
    np.testing.assert_allclose(split.coverage, expected, atol=0.5)


def test_a_report_is_json(split):
    report = json.loads(json.dumps(split.report()))
    assert report['sentences by words'] == {'0': 1, '2': 2, '3': 1, '6': 1}
    edges, counts = report['targets by size'].values()
    places = [(low, high) for low, high, n in zip(edges, edges[1:], counts, strict=False) if n]
    assert sum(counts) == len(places) == 2
    assert places[0][0] <= 1 <= places[0][1] and places[1][0] <= 25 <= places[1][1]
    assert next(iter(report['sentences by frequent word'])) == 'dog'


def test_sizes_beyond_the_histogram_are_counted():
    counts = statistics._size_histogram([0.001, 0.01, 100])
    assert counts[0] == 2 and counts[-1] == 1 and counts.sum() == 3


def test_the_table(split):
    empty = count_samples([sample('d.jpg', None, 'dog')])
    lines = statistics_table({'train': split, 'val': empty}).splitlines()
    assert lines[0].split() == ['train', 'val']
    cells = {line[:23].strip(): line[23:].split() for line in lines[1:]}
    assert cells['photos'] == ['3', '1'] and cells['words per sentence'] == ['2.6', '1.0']
    assert cells['median size, % of photo'] == ['13.0', '-']
    assert len({len(line) for line in lines}) == 1


# The picture


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """What ``plot_statistics`` draws, as matplotlib's axes by title."""

    def draw_splits(splits):
        figures = []
        monkeypatch.setattr(Figure, 'savefig', lambda figure, *_, **__: figures.append(figure))
        plot_statistics(splits, tmp_path / 'stats.png')
        return {axes.get_title(): axes for axes in figures[0].axes}

    return draw_splits


def lines(axes) -> dict[str, list]:
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def test_what_is_drawn(split, draw):
    other = count_samples([sample('d.jpg', np.ones((4, 4), np.uint8), 'dog', 'big dog')])
    axes = draw({'train': split, 'val': other})
    lengths = lines(axes['Length of the sentences'])
    assert lengths['train'] == [[1, 0], [2, 40], [3, 20], [4, 0], [5, 0], [6, 20]]
    assert lengths['val'] == [[1, 50], [2, 50], [3, 0], [4, 0], [5, 0], [6, 0]]
    sizes = lines(axes['Size of the targets'])
    assert sorted(y for _, y in sizes['train'])[-2:] == [50, 50] and sizes['val'][-1][1] == 100
    assert sizes['train'][0][1] == 50, 'empty places below the smallest target are left out'
    words = axes['Most frequent words']
    names = [label.get_text() for label in words.get_yticklabels()]
    widths = dict(zip(names, (bar.get_width() for bar in words.patches), strict=True))
    assert names[0] == 'dog' and widths['dog'] == pytest.approx(100 * 5 / 7) and words.yaxis_inverted()
    assert words.get_lines()[0].get_xdata()[0] == 60 and words.get_lines()[1].get_xdata()[0] == 100
    heat = axes['train: 2 targets'].get_images()[0]
    np.testing.assert_array_equal(heat.get_array(), split.coverage)
    assert heat.get_clim() == axes['val: 1 targets'].get_images()[0].get_clim() == (0, 100)
    assert list(heat.get_extent()) == [0, 100, 100, 0], 'the top of the photo is at the top'


def test_long_sentences_share_a_place(draw):
    long = count_samples([sample('d.jpg', None, 'a ' * 40, 'b ' * 15, 'c')])
    axes = draw({'train': long})['Length of the sentences']
    assert lines(axes)['train'][-1] == [15, pytest.approx(200 / 3)]
    assert axes.get_xticklabels()[-1].get_text() == '15+'
    assert (
        draw({'val': count_samples([sample('d.jpg', None, 'a ' * 15)])})['Length of the sentences']
        .get_xticklabels()[-1]
        .get_text()
        == '15'
    )


@pytest.mark.parametrize('number', [1, 4, 7])
def test_the_picture(split, tmp_path, number):
    out = tmp_path / 'new/stats.png'
    plot_statistics({f'split {i}': split for i in range(number)}, out, 'of a test')
    with Image.open(out) as picture:
        assert picture.format == 'PNG' and picture.size == (1500, 1000)
        pixels = np.asarray(picture.convert('RGB'))
    drawn = [tuple(round(255 * c) for c in colour) for colour in statistics.COLOURS[:number]]
    assert all((pixels == colour).all(-1).sum() > 20 for colour in drawn)


def test_no_target_anywhere(tmp_path):
    plot_statistics({'train': count_samples([sample('d.jpg', None, 'dog')])}, tmp_path / 'stats.png')
    assert (tmp_path / 'stats.png').stat().st_size > 0
