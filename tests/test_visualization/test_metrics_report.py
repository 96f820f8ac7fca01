"""Metrics with their intervals as a table, of lines made by hand."""

import json

import pytest

from mgfe_ris.evaluation import Run, measured
from mgfe_ris.visualization import metrics_table, results_table


def line(img_id: int, intersection: int, union: int) -> dict:
    ids = dict(img_id=img_id, ref_id=1, sent_id=1, truth=dict(size=[2, 2], counts='04'))
    return dict(**ids, intersection=intersection, union=union)


# as two photos in test_bootstrap.py: one of four draws is a photo twice
LINES = [line(1, 10, 10), line(2, 30, 50), line(2, 30, 50)]


def test_a_test_has_a_row_and_says_what_was_tested():
    lines = dict(ours=LINES, theirs=[line(1, 0, 9)] * 2 + LINES[1:])
    rows = {name: measured([Run.of(0, of_one)]) for name, of_one in lines.items()}
    head, _, ours, _, said = results_table(rows).splitlines()
    assert head == '| model | oIoU | mIoU | P@0.5 | P@0.7 | P@0.9 |'
    assert ours == (
        '| ours | 63.6 (60.0 to 100.0) | 73.3 (60.0 to 100.0) | 100.0 (100.0 to 100.0) | 33.3 (0.0 to 100.0) '
        '| 33.3 (0.0 to 100.0) |'
    )
    assert said.startswith('3 sentences about 2 photos. In brackets: the 95 % interval')


def test_several_seeds_have_a_deviation_and_the_interval_of_their_mean():
    worse = [line(1, 10, 10), line(2, 20, 50), line(2, 20, 50)]
    found = measured([Run.of(0, LINES), Run.of(1, worse)])
    assert (found['seeds'], found['sentences'], found['photos']) == (2, 3, 2)
    assert found['metrics']['mIoU'] == pytest.approx(dict(mean=200 / 3, std=9.428, low=50, high=100), abs=1e-3)
    assert metrics_table({'a|b': found}, 'row', ['mIoU']).splitlines()[-1] == r'| a\|b | 66.7 ± 9.4 (50.0 to 100.0) |'
    assert json.loads(json.dumps(measured([Run.of(0, LINES)]), allow_nan=False))['metrics']['mIoU']['std'] is None
