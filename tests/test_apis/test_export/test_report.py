"""Reports of tests as they are read again."""

import copy
import json
import re
from pathlib import Path

import pytest
import torch

from mgfe_ris.apis.export.report import read_report, read_report_of
from mgfe_ris.models.checkpoints import fingerprint

GOOD = dict(
    checkpoint='runs/tiny/best_oIoU_epoch_3.pth',
    metrics={'val/oIoU': 12.5, 'val/mIoU': 0, 'testA/P@0.5': 100.0},
    protocol={'val': dict(sentence_key='raw', per_sentence=True, shared_photos={'train': 3}), 'testA': None},
    input_size=[480, 480],
    evaluator=[{'type': 'RefSegMetric'}],
    truncated_sentences=0,
    of_a_later_version=[1],
)


def write(folder: Path, report: object) -> Path:
    path = folder / 'metrics.json'
    path.write_text(report if isinstance(report, str) else json.dumps(report))
    return path


def test_what_is_right_comes_back(tmp_path):
    path = write(tmp_path, GOOD)
    assert read_report(path) == read_report(str(path)) == read_report(GOOD) == GOOD
    assert read_report(None) == {}


WRONG = {
    'not JSON': ('<html>', 'no JSON file'),
    'half of it': ('{"metrics": {"val/oIoU": 1', 'no JSON file'),
    'a list': ([1], 'it has no "metrics"'),
    'numbers alone': ({'val/oIoU': 1.0}, 'it has no "metrics"'),
    'no numbers': ({'metrics': {}}, 'it has no "metrics"'),
    'another metrics': ({'metrics': [1]}, 'it has no "metrics"'),
    'a text': ({'metrics': {'val/oIoU': '62.5'}}, "val/oIoU is '62.5', no percentage"),
    'True': ({'metrics': {'val/oIoU': True}}, 'val/oIoU is True'),
    'NaN': ('{"metrics": {"val/oIoU": NaN}}', 'val/oIoU is nan'),
    'too much': ({'metrics': {'val/oIoU': 100.1}}, 'val/oIoU is 100.1'),
    'negative': ({'metrics': {'val/oIoU': -1}}, 'val/oIoU is -1'),
    'checkpoint': ({**GOOD, 'checkpoint': 3}, 'checkpoint is 3'),
    'protocol': ({**GOOD, 'protocol': [1]}, r'protocol is \[1\]'),
    'a protocol': ({**GOOD, 'protocol': {'val': 'raw'}}, "'raw' stands where settings should"),
    'a field of it': ({**GOOD, 'protocol': {'val': {'apart_from': 3}}}, 'apart_from is 3'),
    'input_size': ({**GOOD, 'input_size': [480]}, r'input_size is \[480\], not height and width'),
    'evaluator': ({**GOOD, 'evaluator': ['x']}, "'x' stands where settings should"),
    'truncated': ({**GOOD, 'truncated_sentences': '3'}, "truncated_sentences is '3'"),
}


@pytest.mark.parametrize('what', WRONG)
def test_what_is_wrong_is_named(tmp_path, what):
    report, words = WRONG[what]
    path = write(tmp_path, report)
    with pytest.raises(ValueError, match=f'^{re.escape(str(path))}: .*{words}') as caught:
        read_report(path)
    assert '\n' not in str(caught.value)
    if isinstance(report, dict):
        with pytest.raises(ValueError, match=f'^metrics: .*{words}'):
            read_report(report)


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / 'gone.json', tmp_path):
        with pytest.raises(FileNotFoundError, match=f'^{path}: no such file; tools/test.py --out writes metrics.json'):
            read_report(path)


def test_whose_report_it_is(tmp_path):
    ours, other = (torch.nn.Linear(2, 2) for _ in range(2))
    path = write(tmp_path, {**GOOD, 'weights': fingerprint(ours.state_dict())})
    assert read_report_of(copy.deepcopy(ours), path)['metrics'] == GOOD['metrics']
    with pytest.raises(ValueError, match=rf"^{path} is of other weights, of 'runs/tiny/best_oIoU_epoch_3\.pth'"):
        read_report_of(other, path)
    write(tmp_path, GOOD)
    with pytest.raises(ValueError, match='does not say of which weights it is, as older ones'):
        read_report_of(ours, path)
