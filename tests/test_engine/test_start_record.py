"""What a training was started with."""

import json
import subprocess
from types import SimpleNamespace

import torch
from test_changed_settings import build

from mgfe_ris.engine import StartRecordHook
from mgfe_ris.engine.start_record import data_of, git_state
from mgfe_ris.models.checkpoints import fingerprint


def test_a_record_of_each_start(tmp_path):
    runner = build(tmp_path, 'recorded', resume=False)
    runner.register_hook(StartRecordHook())
    before = fingerprint(runner.model.state_dict())
    runner.train()
    (path,) = tmp_path.glob('started_*.json')
    record = json.loads(path.read_text())
    assert record['weights'] == before and record['processes'] == 1 and record['seed'] == runner.seed
    assert record['config']['optim_wrapper']['optimizer'] == dict(type='Adam', lr=0.1)
    assert record['machine']['torch'] == torch.__version__ and all(record['versions'].values())
    assert record['data']['train'] == [dict(type='list', root=None, split=None, samples=4, annotations=None)]
    assert record['command'] and record['resumed'] is None and path.stat().st_size < 100_000


def test_data_are_known_by_their_annotations():
    index = SimpleNamespace(folder=f'cache/{"0a" * 16}')

    class Data(list):
        data_root, split = 'data', 'val'

    Data.index = index
    assert data_of(Data([1, 2])) == [dict(type='Data', root='data', split='val', samples=2, annotations='0a' * 16)]


def test_git(tmp_path, monkeypatch):
    assert git_state(tmp_path) is None
    run = ['git', '-C', str(tmp_path), '-c', 'user.name=a', '-c', 'user.email=a@b']
    (tmp_path / 'x').write_text('1')
    for command in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'a']):
        subprocess.run([*run, *command], check=True)
    state = git_state(tmp_path)
    assert len(state['commit']) == 40 and state['dirty'] is False
    (tmp_path / 'x').write_text('2')
    assert git_state(tmp_path)['dirty'] is True
    (tmp_path / 'site').mkdir()
    assert git_state(tmp_path / 'site') is None, 'a folder of somebody else below a repository'
    monkeypatch.setenv('PATH', '')
    assert git_state(tmp_path) is None
