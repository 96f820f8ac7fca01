"""What a training goes on from."""

import os
from pathlib import Path

import mmengine.hooks
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel

from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.engine import CheckpointHook, RISRunner
from mgfe_ris.engine.checkpoints import training_state
from mgfe_ris.tf32 import set_tf32, tf32_in_use


class Toy(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.norm = torch.nn.SyncBatchNorm(1)

    def forward(self, inputs, mode):
        return dict(loss=self.weight * torch.stack(inputs).mean() + self.norm(torch.ones(2, 1)).sum())


def checkpoint(**info) -> dict:
    """As mmengine's runner writes it."""
    hub = dict(
        log_scalars={'train/loss': HistoryBuffer([3.0, 1.0], [1, 1])},
        runtime_info=dict(epoch=2, best_score=np.float64(0.25), **info),
        resumed_keys=dict.fromkeys(['train/loss', 'epoch', 'best_score', *info], True),
    )
    meta = dict(epoch=2, iter=9, seed=0, config='raise SystemExit', cfg='import os', time='now')
    return dict(meta=meta, state_dict={'weight': torch.ones(())}, message_hub=hub, optimizer={})


def cleaned(tmp_path: Path, saved: dict) -> dict:
    torch.save(saved, tmp_path / 'saved.pth')
    return training_state(read_checkpoint(tmp_path / 'saved.pth'), 'saved.pth', tmp_path / 'run')


def test_paths_are_names_in_the_folder(tmp_path):
    run, other = tmp_path / 'run', tmp_path / 'other'
    for folder in (run, other):
        folder.mkdir()
        (folder / 'best_oIoU_epoch_1.pth').touch()
    (other / 'best_mIoU_epoch_1.pth').touch()
    names = dict(
        best_ckpt=str(other / 'best_oIoU_epoch_1.pth'),
        best_ckpt_mIoU=str(other / 'best_mIoU_epoch_1.pth'),  # not in the folder
        last_ckpt=r'C:\other\best_oIoU_epoch_1.pth',
        keep_ckpt_ids=[1, 2, '../other/x'],
    )
    hub = cleaned(tmp_path, checkpoint(**names))['message_hub']
    here = str(run / 'best_oIoU_epoch_1.pth')
    assert hub['runtime_info'] == dict(epoch=2, best_score=0.25, best_ckpt=here, last_ckpt=here, keep_ckpt_ids=[1, 2])
    assert type(hub['runtime_info']['best_score']) is float
    assert hub['resumed_keys'].keys() == {'train/loss', *hub['runtime_info']}


def test_the_log_goes_on_and_no_config_is_run(tmp_path):
    state = cleaned(tmp_path, checkpoint())
    assert state['meta'] == dict(epoch=2, iter=9, samples=0, seed=0)
    assert state['message_hub']['log_scalars']['train/loss'].mean() == 2.0


@pytest.mark.parametrize('lost', ['meta', 'message_hub', 'optimizer'])
def test_weights_alone(tmp_path, lost):
    saved = checkpoint()
    del saved[lost]
    with pytest.raises(ValueError, match=r'saved\.pth holds weights only, and nothing to resume'):
        cleaned(tmp_path, saved)


def test_a_checkpoint_of_other_code(tmp_path):
    for part in (dict(meta=dict(epoch='two')), dict(message_hub={}), dict(meta=3)):
        with pytest.raises(ValueError, match=r'saved\.pth: no checkpoint of a training of ours'):
            cleaned(tmp_path, {**checkpoint(), **part})


def build(folder: Path, **settings) -> RISRunner:
    return RISRunner(
        Toy(),
        str(folder),
        train_dataloader=dict(
            batch_size=2,
            dataset=[dict(inputs=torch.ones(())) for _ in range(4)],
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_scope='mmseg',
        **{'optim_wrapper': dict(optimizer=dict(type='SGD', lr=0.1)), 'log_level': 'WARNING', **settings},
    )


def test_checkpoints_in_a_folder_of_their_own(tmp_path):
    hook = dict(type='CheckpointHook', interval=1, out_dir=str(tmp_path / 'all'))
    for epochs in (1, 2):
        runner = build(
            tmp_path / 'run', default_hooks=dict(checkpoint=hook), experiment_name=f'own_{epochs}', resume=True
        )
        runner._train_loop['max_epochs'] = epochs
        assert runner.checkpoint_folder == tmp_path / 'all/run'
        runner.choose_resumed()
        runner.train()
        assert runner.checkpoint_folder == tmp_path / 'all/run', 'also after the start'
    assert runner.iter == 4
    assert sorted(path.name for path in (tmp_path / 'all/run').iterdir()) == ['epoch_1.pth', 'epoch_2.pth']


def test_each_weights_options_stand_in_the_file_of_the_log_alone(tmp_path, capfd):
    optim = dict(optimizer=dict(type='SGD', lr=0.1), paramwise_cfg=dict(custom_keys=dict(weight=dict(lr_mult=0.1))))
    runner = build(tmp_path, optim_wrapper=optim, log_level='INFO', experiment_name='quiet')
    runner.model.norm.requires_grad_(False)
    runner.prepare_training()
    wrapper = runner.optim_wrapper
    assert runner.build_optim_wrapper(wrapper) is wrapper, 'as the training asks again'
    runner.logger.warning('after that')
    shown = ''.join(capfd.readouterr())
    (written,) = (path.read_text() for path in tmp_path.rglob('*.log'))
    for one in ('paramwise_options -- weight:lr=0.01', 'norm.bias is skipped since its requires_grad=False'):
        assert one in written and one not in shown
    assert shown.count('0.00 M of 0.00 M parameters are frozen') == 1 and 'after that' in shown


@pytest.mark.parametrize('settings', [dict(matmul=True, conv=False), dict(matmul=False, conv=True)])
def test_tf32_is_what_the_config_says(tmp_path, settings):
    before = tf32_in_use()
    try:
        set_tf32(**{kind: not value for kind, value in settings.items()})
        build(tmp_path, env_cfg=dict(tf32=settings), experiment_name=f'tf32_{settings["matmul"]}')
        assert tf32_in_use() == settings
    finally:
        set_tf32(**before)


def test_processes_of_torchrun_without_cuda(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    here = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='1', MASTER_ADDR='127.0.0.1', MASTER_PORT='0')
    for name, value in here.items():
        monkeypatch.setitem(os.environ, name, value)
    try:
        runner = build(tmp_path, launcher='pytorch', cfg=dict(sync_bn='torch'), experiment_name='gloo')
        assert torch.distributed.get_backend() == 'gloo'
        runner.train()
    finally:
        torch.distributed.destroy_process_group()
    assert runner.iter == 2 and read_checkpoint(tmp_path / 'epoch_1.pth')['state_dict']['weight'] < 1


def test_a_copied_work_dir_whose_checkpoints_lie_elsewhere_begins_anew(tmp_path):
    """With ``out_dir`` of the hook: ``last_checkpoint`` in the work dir names a file of the original."""
    original, copy = tmp_path / 'out/run', tmp_path / 'copy'
    for folder in (original, copy):
        folder.mkdir(parents=True)
    torch.save(checkpoint(), original / 'epoch_1.pth')
    (copy / 'last_checkpoint').write_text(str(original / 'epoch_1.pth'))
    hooks = dict(checkpoint=dict(type='CheckpointHook', out_dir=str(tmp_path / 'out')))
    runner = RISRunner(Toy(), str(copy), resume=True, default_hooks=hooks, experiment_name='copied')
    runner.choose_resumed()
    runner.load_or_resume()
    assert (runner.epoch, runner.iter) == (0, 0)


@pytest.mark.parametrize('kind', ['CheckpointHook', 'mmengine.hooks.CheckpointHook', mmengine.hooks.CheckpointHook])
def test_every_config_gets_the_hook_that_deletes_last(tmp_path, kind):
    hooks = dict(checkpoint=dict(type=kind, interval=2))
    runner = RISRunner(Toy(), str(tmp_path), default_hooks=hooks, experiment_name=f'hook_{kind}'.replace('.', '_'))
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, mmengine.hooks.CheckpointHook))
    assert type(hook) is CheckpointHook and hook.interval == 2


def test_what_is_published_is_read_safely(tmp_path, monkeypatch):
    def unsafe(*_: object, **__: object) -> None:
        raise AssertionError('an unpickling loader was called')

    monkeypatch.setattr('mmengine.runner.checkpoint._load_checkpoint', unsafe)
    hook = dict(type='CheckpointHook', interval=1, published_keys=['state_dict'])
    build(tmp_path, default_hooks=dict(checkpoint=hook), experiment_name='published').train()
    (published,) = tmp_path.glob('epoch_1-????????.pth')
    assert read_checkpoint(published).keys() == {'state_dict'}
