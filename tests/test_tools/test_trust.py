"""Nothing that a checkpoint, a model's folder or a data file holds is run, or writes where nobody asked for it."""

import json
import os
import re
import shutil
from pathlib import Path

import mmengine.runner
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

pytestmark = pytest.mark.usefixtures('one_thread')


def test_the_tools_of_all_these_tests_cannot_unpickle_objects(tmp_path):
    """The guard of conftest.py, under which training, resuming, tests, exports, converters, ... are run."""
    torch.save({}, tmp_path / 'x.pth')
    for load in (mmengine.runner.load_checkpoint, mmengine.runner.runner._load_checkpoint):
        with pytest.raises(AssertionError, match='an unpickling loader was called'):
            load(str(tmp_path / 'x.pth'))
    with pytest.raises(AssertionError, match='an unpickling loader was called'):
        mmengine.runner.CheckpointLoader.load_checkpoint(str(tmp_path / 'x.pth'))
    code = compile('torch.load(path, weights_only=False)', 'elsewhere.py', 'exec')
    with pytest.raises(AssertionError, match='an unpickling loader was called'):
        exec(code, dict(torch=torch, path=tmp_path / 'x.pth'))


def test_parts_that_start_from_a_file_do_not_unpickle_objects(tmp_path):
    """An ``init_cfg`` of any part, not only of visual encoders."""
    init_default_scope('mmseg')
    cfg = dict(type='LightDecodeHead', channels=(4, 8, 16, 32), hidden=8)
    state = {f'head.{name}': torch.rand_like(value) if value.is_floating_point() else value
             for name, value in MODELS.build(cfg).state_dict().items()}  # fmt: skip
    torch.save(dict(state_dict=state), tmp_path / 'head.pth')
    named = dict(type='Pretrained', checkpoint=str(tmp_path / 'head.pth'), prefix='head')
    head = MODELS.build(dict(cfg, init_cfg=named))
    head.init_weights()
    assert all(torch.equal(value, state[f'head.{name}']) for name, value in head.state_dict().items())
    head = MODELS.build(dict(cfg, init_cfg=dict(named, prefix='tail')))
    with pytest.raises(ValueError, match=r'head\.pth has no weight of a LightDecodeHead'):
        head.init_weights()


class Evil:
    def __reduce__(self):
        return os.system, ('touch ran',)


def test_parts_that_start_from_a_hostile_file_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict={}, note=Evil()), 'x.pth')
    init_default_scope('mmseg')
    cfg = dict(type='LightDecodeHead', channels=(4, 8, 16, 32), hidden=8)
    head = MODELS.build(dict(cfg, init_cfg=dict(type='Pretrained', checkpoint='x.pth')))
    with pytest.raises(ValueError, match=r'x\.pth: not a checkpoint .*asks for posix\.system'):
        head.init_weights()
    assert os.listdir() == ['x.pth']


# What a folder's config may have tools/test.py write


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob('*')}


@pytest.fixture
def hostile(model_folder, refshapes, tmp_path, monkeypatch):
    """A folder of a model whose config.json is changed, beside files that must stay -> its path."""
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(model_folder, tmp_path / 'folder')
    for name in ('settings.py', 'val.jsonl'):
        (tmp_path / name).write_text('mine\n')
    (tmp_path / 'home').mkdir()

    def change(changes: dict) -> Path:
        raw = json.loads((model_folder / 'config.json').read_text())
        raw['test_cfg'] = dict(type='SplitsTestLoop', splits=['val'])
        raw['data_root'] = raw['test_dataloader']['dataset']['data_root'] = str(refshapes)
        raw['test_dataloader'].update(num_workers=0, persistent_workers=False)
        for key, value in changes.items():
            *parts, last = key.split('.')
            node = raw
            for part in parts:
                node = node[int(part)] if part.isdigit() else node[part]
            node[last] = value
        (folder / 'config.json').write_text(json.dumps(raw))
        return folder

    return change


@pytest.mark.parametrize('changes', [
    {'visualizer.vis_backends': [dict(type='LocalVisBackend', config_save_file='{}/settings.py')]},
    {'visualizer.vis_backends': [dict(type='TensorboardVisBackend', save_dir='{}/home')]},
    {'visualizer.vis_backends': [dict(type='LocalVisBackend', scalar_save_file='../../settings.json')]},
    {'visualizer.save_dir': '{}/home'},
    {'visualizer.name': '../home'},
    {'test_evaluator.per_sample': '{}'},
    {'test_evaluator.collect_dir': '{}/home'},
    {'test_evaluator': [dict(type='RefSegMetric'), dict(type='RefSegMetric', prefix='../../home')]},
    {'test_evaluator': [dict(type='RefSegMetric'), dict(type='RefSegMetric', prefix='{}/home')]},
    {'test_evaluator': [dict(type='IoUMetric', output_dir='{}/home', format_only=True)]},
    {'test_cfg.splits': ['../../val']},
    {'test_dataloader.dataset.metainfo': dict(split='../../val')},
    {'custom_hooks': [dict(type='LogitsHook', folder='{}/home')]},
    {'custom_hooks': [dict(type='PictureHook', folder='{}/home')]},
    {'default_hooks.visualization': dict(type='SegVisualizationHook', draw=True)},
    {'default_hooks.logger.out_dir': '{}/home'},
    {'default_hooks.logger.json_log_path': '{}/home/x.json'},
    {'default_hooks.checkpoint.out_dir': '{}/home'},
    {'experiment_name': '../../home/x'},
    {'work_dir': '{}/home'},
    {'env_cfg.dist_cfg.init_method': 'file://{}/home/x'},
], ids=str)  # fmt: skip
def test_a_folder_writes_nothing_elsewhere(run_here, hostile, changes, tmp_path, capfd):
    named = json.loads(json.dumps(changes).replace('{}', str(tmp_path)))
    folder = hostile(named)
    before = everything(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run_here('test.py', folder, folder, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out')
    assert stop.value.code == 2
    (line,) = [line for line in capfd.readouterr().err.splitlines() if 'error: ' in line]
    after = {name: what for name, what in everything(tmp_path).items() if not name.startswith(('work', 'out'))}
    assert after == before and len(line) < 1000


@pytest.mark.parametrize('changes', [
    {'model.decode_head.hidden': 10**6},
    {'model.text_encoder.config.num_hidden_layers': 10**6},
    {'model.decode_head.hidden': -1},
    {'model.neck': None},
    {'test_dataloader.dataset.pipeline.0.transforms.1.scale': [10**5, 10**5]},
], ids=str)  # fmt: skip
def test_a_folder_takes_no_more_memory_than_its_weights(run_here, hostile, changes, tmp_path, capfd):
    folder = hostile(changes)
    with pytest.raises(SystemExit) as stop:
        run_here('test.py', folder, folder, '--work-dir', tmp_path / 'work')
    assert stop.value.code == 2
    said = 'larger than its weights|model of more than|no model can be made|very much memory'
    assert re.search(said, capfd.readouterr().err)


def test_a_folder_is_tested_below_what_was_asked_for(run_here, hostile, tmp_path):
    folder = hostile({})
    before = everything(tmp_path)
    run_here('test.py', folder, folder, '--work-dir', tmp_path / 'work', '--out', tmp_path / 'out')
    after = {name: what for name, what in everything(tmp_path).items() if not name.startswith(('work', 'out'))}
    assert after == before and (tmp_path / 'out/val.jsonl').is_file()
