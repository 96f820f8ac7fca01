"""The report of a GPU as a user runs it."""

import json
import runpy
import sys
from pathlib import Path

import pytest
from slow import slow

from mgfe_ris.visualization.cuda_report import NOT_MEASURED

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/cuda_report.py'
FOUND = dict(
    rows=dict(correctness=[dict(name='a, float32', error='ValueError: a', seconds=1.0)]),
    left_out={},
    broken=['correctness: a, float32'],
    machine=dict(device='NVIDIA X', torch='2.14'),
    setting=dict(minutes=10, small=False),
    made={},
    bounds={},
)


@pytest.fixture
def report(monkeypatch, capsys, one_thread):
    """Run the tool in this process -> its exit status, and what it printed."""

    def run(*args: object) -> tuple[object, str]:
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, args)])
        try:
            runpy.run_path(str(TOOL), run_name='__main__')
        except SystemExit as stop:
            status = stop.code
        else:
            status = 0
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.mark.parametrize(('broken', 'status'), [(FOUND['broken'], 1), ([], 0)])
def test_the_status_says_whether_a_bound_is_broken(report, monkeypatch, tmp_path, broken, status):
    monkeypatch.setattr('mgfe_ris.apis.measure_cuda', lambda *args: FOUND | dict(broken=broken))
    found, printed = report('--out', tmp_path, '--device', 'cpu', '--page', tmp_path / 'page.md')
    assert found == status and '## What failed' in printed
    assert (tmp_path / 'cuda.png').is_file()
    assert (tmp_path / 'page.md').read_text() == (tmp_path / 'cuda.md').read_text()


def test_a_page_of_an_earlier_run(report, tmp_path):
    (tmp_path / 'cuda.json').write_text(json.dumps(FOUND))
    page = tmp_path / 'page.md'
    assert report('--json', tmp_path / 'cuda.json', '--page', page) == (0, f'wrote {page}\n')
    assert 'correctness, a, float32: ValueError: a' in page.read_text()


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--out', 'x', '--device', 'cpu', '--minutes', 0], 'error: minutes must be more than 0'),
        (['--out', 'x', '--device', 'cpu', '--sections', 'fun'], 'error: no section fun'),
        (['--out', TOOL, '--device', 'cpu'], 'is a file; name a folder'),
        (['--json', 'no-such.json', '--page', 'page.md'], 'no-such.json'),
        (['--json', TOOL], 'error: --json: name the --page to write'),
        (['--json', TOOL, '--page', 'page.md'], 'expected the cuda.json of an earlier run'),
        (['--out', 'x', '--device', 'cpu', '--page', TOOL], 'expected the lines'),
        (['--out', 'x', '--device', 'cpu', '--page', TOOL.parent], 'is a folder; name a file'),
        (['--out', 'x', '--device', 'cpu', '--page', TOOL / 'page.md'], 'is a file; name a folder'),
    ],
)
def test_wrong_input_is_named(report, monkeypatch, args, message):
    monkeypatch.setattr('mgfe_ris.apis.measure_cuda', lambda *args: pytest.fail('minutes of measuring were begun'))
    status, printed = report(*args)
    assert status == 2 and message in printed and 'Traceback' not in printed


def test_a_page_that_is_lost_meanwhile_takes_nothing_along(report, monkeypatch, capsys, tmp_path):
    page = tmp_path / 'page.md'
    monkeypatch.setattr('mgfe_ris.apis.measure_cuda', lambda *args: page.mkdir() or FOUND)
    with pytest.raises(OSError):
        report('--out', tmp_path / 'out', '--device', 'cpu', '--page', page)
    assert '## What failed' in capsys.readouterr().out and (tmp_path / 'out/cuda.png').is_file()


@slow('2 minutes')
def test_all_of_it_in_small(report, tmp_path):
    status, printed = report('--out', tmp_path, '--device', 'cpu', '--small', '--page', tmp_path / 'page.md')
    assert status == 0 and '## What failed' not in printed and NOT_MEASURED not in printed
    rows = json.loads((tmp_path / 'cuda.json').read_text())['rows']
    assert all(rows[name] for name in ('correctness', 'waiting', 'compile', 'speed', 'evaluation'))
