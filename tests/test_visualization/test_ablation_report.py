"""The table of an ablation: that Markdown, CSV and pictures say what was found."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from mgfe_ris.visualization import ablation_table, milliseconds_per_step, plot_first_steps, write_ablation

NAMES = ('P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU')


def row(name: str, value: float, std: float = 1.0, seeds: int = 2, difference: dict | None = None, **more) -> dict:
    metrics, spread = dict.fromkeys(NAMES, value), dict.fromkeys(NAMES, std)
    return dict(row=name, seeds=list(range(seeds)), metrics=metrics, std=spread, mIoU_difference=difference, **more)


@pytest.fixture
def table() -> list[dict]:
    found = dict(mean=2.0, low=-1.0, high=5.0, p=0.0001, of_seeds=(1.0, 3.0))
    costs = dict(params=1.5, gflops=0.09, ms=431.7)
    published = dict(published={'mIoU': 74.46}, published_on='refcoco')
    return [row('a', 60.0, **costs, **published), row('b', 62.0, difference=found, **costs)]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_the_table_says_all_of_each_row(table):
    header, _, first, second = map(cells, ablation_table(table).splitlines())
    assert header[:8] == ['row', *NAMES, 'mIoU less that of a (95 %)', 'p']
    assert header[8:12] == ['seed by seed', 'Params (M)', 'GFLOPs', 'ms/step']
    assert header[12:] == [f'paper, refcoco: {name}' for name in NAMES]
    assert first == ['a', *['60.00 ± 1.00'] * 5, '', '', '', '1.50', '0.09', '432', '', '', '', '74.46', '']
    assert second[6:9] == ['+2.00 (-1.00 to +5.00)', '< 0.001', '+1.0, +3.0'] and second[-5:] == [''] * 5


def test_one_seed_has_no_spread_and_what_nobody_knows_is_no_column():
    found = dict(mean=2.0, low=-1.0, high=5.0, p=0.2, of_seeds=(2.0,))
    lone = [row('a', 60.0, float('nan'), 1), row('b', 62.0, float('nan'), 1, found)]
    header, _, first, second = map(cells, ablation_table(lone).splitlines())
    assert header == ['row', *NAMES, 'mIoU less that of a (95 %)', 'p']
    assert first == ['a', *['60.00'] * 5, '', '']
    assert second == ['b', *['62.00'] * 5, '+2.00 (-1.00 to +5.00)', '0.200']


def test_files_of_a_table(table, tmp_path):
    out = tmp_path / 'table3_refcoco+'
    write_ablation(table, out, 'table3 on refcoco+', ['Seeds 0, 1.', 'On a CPU.'])
    text = (tmp_path / 'table3_refcoco+.md').read_text()
    assert text.startswith('# table3 on refcoco+\n\n| row |') and text.endswith('|\n\nSeeds 0, 1.\n\nOn a CPU.\n')
    assert ablation_table(table) in text
    with open(tmp_path / 'table3_refcoco+_summary.csv') as file:
        first, second = csv.DictReader(file)
    assert first['mIoU mean'] == '60.0' and first['paper mIoU'] == '74.46' and first['p'] == first['low'] == ''
    assert [second[k] for k in ('row', 'seeds', 'mIoU std', 'mIoU difference', 'high')] == [
        'b',
        '2',
        '1.0',
        '2.0',
        '5.0',
    ]
    assert np.asarray(Image.open(tmp_path / 'table3_refcoco+.png')).std() > 10


def log(folder, losses: dict[int, float], seconds: float = 0.5) -> None:
    path = folder / '20260101_000000/vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    lines = [json.dumps(dict(step=step, loss=loss, time=seconds)) for step, loss in losses.items()]
    path.write_text('\n'.join([*lines, json.dumps(dict(step=1, oIoU=50.0))]) + '\n')


def test_time_of_a_step_is_a_median(tmp_path):
    log(tmp_path, dict.fromkeys((10, 20, 30), 1.0), 0.4)
    assert milliseconds_per_step(tmp_path) == 400
    with pytest.raises(FileNotFoundError, match='is it the work dir of a training'):
        milliseconds_per_step(tmp_path / 'none')


def test_losses_of_any_size_lie_in_one_picture(tmp_path):
    """A loss that is 100 times another's is the same curve."""
    log(tmp_path / 'a', {10: 0.2, 20: 0.1, 600: 0.01})
    log(tmp_path / 'b', {10: 20.0, 20: 10.0, 600: 5.0})
    pictures = []
    for name in 'ab':
        plot_first_steps({'row': [tmp_path / name]}, 'steps', tmp_path / f'{name}.png')
        pictures.append(np.asarray(Image.open(tmp_path / f'{name}.png')))
    np.testing.assert_array_equal(*pictures)
