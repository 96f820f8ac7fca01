"""The table of systems: who is in it, equal budgets, what its numbers are, and the page that it stands in."""

import csv
import json
import runpy
import signal
import sys
from pathlib import Path

import pytest

from mgfe_ris.apis import budget_of, find_systems, measure_systems, system_config
from mgfe_ris.visualization.marked_page import BEGIN, END

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/compare_rivals.py'

TRAIN = """
import importlib.util, pathlib, sys
folder = pathlib.Path(sys.argv[3])
if 'mgfe-ris' in sys.argv[1]:
    sys.exit('error: a reason')
if 'cris' in sys.argv[1] and not importlib.util.find_spec('cris_checkpoints'):
    sys.exit('error: the project cannot be imported')
folder.mkdir()
for name in ('epoch_3.pth', 'last_checkpoint'):
    (folder / name).write_text('epoch_3.pth')
"""
TEST = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[-1])
folder.mkdir()
(folder / 'val.jsonl').write_text('{}')
found = {'val/oIoU': 60.04, 'val/mIoU': 50, 'val-shuffled/oIoU': 7}
if 'cris' in sys.argv[1]:
    found |= {'val/common_photo/oIoU': 15.5, 'val/common_photo/mIoU': 14, 'val/own/mIoU': 33}
    found |= {'val-shuffled/common_photo/oIoU': 6}
(folder / 'metrics.json').write_text(json.dumps(dict(metrics=found)))
"""


@pytest.fixture
def compare(tmp_path, monkeypatch, refshapes):
    """Runs the tool in this process, with tools that train nothing -> what ended it."""
    (tmp_path / 'tools').mkdir()
    (tmp_path / 'tools/train.py').write_text(TRAIN)
    (tmp_path / 'tools/test.py').write_text(TEST)
    monkeypatch.setattr(f'{budget_of.__module__.rpartition(".")[0]}.ablation.TOOLS', tmp_path / 'tools')
    monkeypatch.setattr(
        'mgfe_ris.apis.measure_systems', lambda cfgs: {x: dict(photo_ms=12.34, step_ms=567.8) for x in cfgs}
    )
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setenv('PYTHONPATH', '')

    def run(*args: object, options: tuple[str, ...] = ()) -> int | str | None:
        words = [*args, '--out', tmp_path / 'out', '--cfg-options', f'data_root={refshapes}', *options]
        monkeypatch.setattr(sys, 'argv', ['compare_rivals.py', *map(str, words)])
        before = signal.getsignal(signal.SIGTERM)
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as ended:
            return ended.code
        finally:
            signal.signal(signal.SIGTERM, before)
        return None

    return run


def test_a_page_gets_the_table_and_says_who_failed_and_who_did_not_learn(compare, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'# Title\n\n{BEGIN}\nold\n{END}\n\nbelow\n')
    status = compare('--systems', 'lavt', 'mgfe-ris', 'cris', '--jobs', '3', '--page', page)
    assert str(status).startswith('error: 1 of 3 runs failed')
    text = page.read_text()
    assert (
        text.startswith(f'# Title\n\n{BEGIN}\n| system |') and text.endswith(f'{END}\n\nbelow\n') and 'old' not in text
    )
    cells = [[cell.strip() for cell in line.split('|')[1:-1]] for line in text.splitlines() if line.startswith('|')]
    assert [row[:6] for row in cells[2:]] == [
        ['lavt', '60.0', '50.0', '50.0', '7.0', 'yes'],
        ['mgfe-ris', '', '', '', '', 'not trained'],
        ['cris', '15.5', '14.0', '33.0', '6.0', 'no'],
    ]
    assert 'at least 10 points above' in text and 'compare_rivals.py --systems lavt' in text
    report = json.loads(page.with_suffix('.json').read_text())
    assert report['systems'][2]['oIoU'] == 15.5 and {'commit', 'dirty'} == report['git'].keys()
    with open(page.with_suffix('.csv')) as file:
        rows = list(csv.DictReader(file))
    assert [row['learned'] for row in rows] == ['yes', 'not trained', 'no'] and rows[0]['oIoU'] == '60.04'


def test_without_a_page_one_is_made_beside_the_runs(compare, tmp_path):
    assert compare('--systems', 'lavt') is None
    assert f'{BEGIN}\n| system |' in (tmp_path / 'out/rivals.md').read_text()


def test_every_rival_with_a_small_config_is_found(tmp_path):
    for name in ('cris/cris_tiny_refshapes.py', 'cris/cris_vit_tiny_refshapes.py', 'other/film_tiny_refshapes.py'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(find_systems(tmp_path)) == ['lavt', 'mgfe-ris', 'cris', 'cris_vit']
    assert {'lavt', 'mgfe-ris', 'cris'} <= find_systems(TOOL.parents[2] / 'projects').keys()


def test_budgets_that_differ_are_refused(refshapes):
    files = find_systems(TOOL.parents[2] / 'projects')
    cfgs = {name: system_config(files[name], options=[f'data_root={refshapes}']) for name in ('lavt', 'mgfe-ris')}
    assert budget_of(cfgs)['steps'] == 3 * (budget_of(cfgs)['samples'] // 32) > 0
    cfgs['mgfe-ris'].train_dataloader.batch_size = 16
    with pytest.raises(ValueError, match='mgfe-ris would have another budget than lavt: batch 16 in the place of 32'):
        budget_of(cfgs)


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--systems', 'none'], "--systems: there are no ['none']; there are ['lavt', 'mgfe-ris'"),
        (['--jobs', '0'], '--jobs must be 1 or more; got 0'),
        (['--page', TOOL], 'compare_rivals.py: expected the lines <!-- the table begins -->'),
    ],
)
def test_wrong_input_is_named_and_nothing_is_written(compare, tmp_path, capfd, args, said):
    assert compare(*args) == 2
    assert said in capfd.readouterr().err.splitlines()[-1] and not (tmp_path / 'out').exists()


def test_speed_is_measured_of_each(refshapes, small_model, one_thread, monkeypatch):
    monkeypatch.setattr('mgfe_ris.profiling.speed.MIN_SECONDS', 0)
    files = find_systems(TOOL.parents[2] / 'projects')
    options = {**small_model, 'data_root': str(refshapes)}
    found = measure_systems({'lavt': system_config(files['lavt'], options=options)}, repeats=2)
    assert list(found) == ['lavt'] and 0 < found['lavt']['photo_ms'] < found['lavt']['step_ms'] < 1e5
