"""Trainings that several processes share in parts end as those in which each has the whole model."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from slow import slow

from mgfe_ris.apis import RISInferencer, load_config
from mgfe_ris.checkpoint_files import read_checkpoint

FSDP = ('strategy.type=FSDPStrategy', 'strategy.min_params=100')


@pytest.fixture
def config(model_folder, refshapes, tmp_path) -> Path:
    """Two steps with two learning rates, frozen weights and clipped gradients."""
    cfg = load_config(model_folder, data_root=str(refshapes))
    for part in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        part.update(num_workers=0, persistent_workers=False, batch_size=4)
    cfg.val_dataloader.batch_size = 5  # seven batches, of which one process has more
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=False)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=2)
    cfg.default_hooks.pop('epoch_summary')
    cfg.default_hooks.pop('pictures')
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    cfg.custom_hooks = []
    cfg.param_scheduler = dict(type='PolyLR', by_epoch=False, end=4)
    cfg.optim_wrapper = dict(
        type='OptimWrapper',  # with eps so large that steps are small where gradients are
        optimizer=dict(type='AdamW', lr=2e-2, eps=1e-3, fused=True),
        paramwise_cfg=dict(custom_keys={'encoder': dict(lr_mult=0.1)}),
        clip_grad=dict(max_norm=0.01),
    )
    cfg.model.channels_last = False  # which rounds otherwise
    cfg.model.text_encoder.trainable_layers = 1
    cfg.dump(tmp_path / 'two.py')
    return tmp_path / 'two.py'


@pytest.fixture
def trained(config, tmp_path, run_processes):
    """Trains in two processes; returns the work dir."""

    def run(name: str, *options: object) -> Path:
        work = tmp_path / name
        tokens = ('--cfg-options', 'env_cfg.mp_cfg.mp_start_method=fork')
        done = run_processes(2, 'train.py', config, '--work-dir', work, *tokens, *options)
        assert [status for status, _ in done] == [0, 0], '\n'.join(text for _, text in done)[-4000:]
        return work

    return run


def same_states(one: Path, other: Path) -> None:
    """Names, weights and the optimiser's moments."""
    first, second = read_checkpoint(one), read_checkpoint(other)
    assert first['state_dict'].keys() == second['state_dict'].keys()
    for name, value in first['state_dict'].items():
        torch.testing.assert_close(second['state_dict'][name], value, atol=1e-5, rtol=1e-5)
    states = [part['optimizer']['state'] for part in (first, second)]
    assert states[0].keys() == states[1].keys()
    for i, moments in states[0].items():
        for key, value in moments.items():
            torch.testing.assert_close(states[1][i][key], value, atol=1e-6, rtol=1e-3)


def test_fsdp(trained, config):
    ddp, fsdp = trained('ddp', 'train_cfg.val_interval=100'), trained('fsdp', *FSDP)
    same_states(ddp / 'iter_2.pth', fsdp / 'iter_2.pth')
    RISInferencer(config, fsdp / 'iter_2.pth')


@slow('30 s')
def test_each_goes_on_from_the_other(trained):
    ddp, fsdp = trained('ddp'), trained('fsdp', *FSDP)
    longer = ('resume=True', 'train_cfg.max_iters=4')
    of_fsdp = trained('ddp_goes_on', *longer, f'load_from={fsdp}/iter_2.pth')
    of_ddp = trained('fsdp_goes_on', *FSDP, *longer, f'load_from={ddp}/iter_2.pth')
    same_states(of_fsdp / 'iter_4.pth', of_ddp / 'iter_4.pth')


@pytest.mark.parametrize('stage', [1, pytest.param(2, marks=slow('30 s'))])
def test_deepspeed(trained, config, stage):
    pytest.importorskip('deepspeed', reason='pip install deepspeed')
    ddp = trained('ddp', 'train_cfg.val_interval=100')
    zero = trained('zero', 'strategy.type=DeepSpeedStrategy', f'strategy.stage={stage}')
    same_states(ddp / 'iter_2.pth', zero / 'iter_2.pth')
    longer = ('resume=True', 'train_cfg.max_iters=4')
    of_zero = trained('ddp_goes_on', *longer, f'load_from={zero}/iter_2.pth')
    of_ddp = trained('zero_goes_on', *longer, 'strategy=deepspeed', f'load_from={ddp}/iter_2.pth')
    same_states(of_zero / 'iter_4.pth', of_ddp / 'iter_4.pth')


@pytest.mark.skipif(find_spec('deepspeed') is not None, reason='DeepSpeed is installed')
def test_without_deepspeed(config, run_here, tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        run_here('train.py', config, '--work-dir', tmp_path / 'work', '--cfg-options', 'strategy=deepspeed')
    assert stop.value.code == 2
    assert 'error: strategy deepspeed needs the package: pip install deepspeed' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('strategy=zero', 'strategy zero: expected ddp, fsdp or deepspeed'),
        ('strategy=fsdp', 'strategy fsdp shares the model between processes: start them with tools/dist_train.sh'),
        ('strategy.type=ColossalAIStrategy', 'strategy ColossalAIStrategy: expected ddp, fsdp or deepspeed'),
    ],
)
def test_what_cannot_be(config, run_here, tmp_path, capfd, option, said):
    with pytest.raises(SystemExit) as stop:
        run_here('train.py', config, '--work-dir', tmp_path / 'work', '--cfg-options', option)
    assert stop.value.code == 2 and f'error: {said}' in capfd.readouterr().err
