"""Steps of every encoder in parts are those of a whole model."""

from copy import deepcopy

import pytest
import torch
from forks import run_forks
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from slow import slow
from test_encoder_configs import ROOT

from mgfe_ris.apis import load_config
from mgfe_ris.apis.experiments.small_models import SMALL_ENCODERS
from mgfe_ris.engine.fsdp import FSDPStrategy, sharded_blocks

# parts by block, checkpointed activations, and one of each kind of list
ENCODERS = {
    'swin-tiny': {'model.encoder.with_cp': True},
    'convnext-base': {},
    'vit-base-dino': {},
    'resnet-50': {},
}
SETTINGS = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-2, eps=1e-2, weight_decay=0.01, fused=True),
    paramwise_cfg=dict(custom_keys={'encoder': dict(lr_mult=0.1, decay_mult=0.0)}),
    clip_grad=dict(max_norm=0.05),
)


def build(name: str) -> tuple[torch.nn.Module, OptimWrapper]:
    options = {**SMALL_ENCODERS[name], **ENCODERS[name]}
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py', options=options, from_scratch=True)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    for module in model.modules():
        if isinstance(module, torch.nn.SyncBatchNorm | torch.nn.Dropout) or hasattr(module, 'drop_prob'):
            module.p = module.drop_prob = 0.0
    # one of them with gradients of two batches a step
    settings = dict(deepcopy(SETTINGS), accumulative_counts=2 if name == 'resnet-50' else 1)
    return model.eval(), build_optim_wrapper(model, settings)


def steps(run: torch.nn.Module, wrapper: OptimWrapper) -> None:
    rng = torch.Generator().manual_seed(0)
    words = torch.arange(20) < torch.tensor([[5], [9]])
    for _ in range(2):
        photos, ids = torch.randn(2, 3, 64, 64, generator=rng), torch.randint(50, 300, (2, 20), generator=rng)
        wrapper.update_params(run(photos, ids, words).square().mean())


def compare() -> None:
    """In each of two processes, on the same samples, whose mean is that of one."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo')
    for name in ENCODERS:
        strategy = FSDPStrategy(min_params=100)
        (whole, wrapper), (shared, parts) = build(name), build(name)
        steps(whole, wrapper)
        strategy.check(shared, parts)
        steps(strategy.start(shared, parts), parts)
        assert len(list(sharded_blocks(shared))) > 4, name
        assert sum(p.to_local().numel() for p in shared.parameters()) < 0.7 * sum(p.numel() for p in whole.parameters())
        state, before = whole.state_dict(), build(name)[0].state_dict()
        found = strategy.whole_weights(shared)
        assert found.keys() == state.keys()
        for key, value in state.items():
            assert torch.allclose(found[key], value, atol=1e-5, rtol=1e-5), f'{name} {key}'
        assert max((state[key] - before[key]).abs().max() for key in state) > 1e-3, name
        moments = strategy.whole_optimizer(parts)
        assert moments['state'].keys() == wrapper.state_dict()['state'].keys()
    print('compared')


@slow('20 s')
def test_all_encoders(tmp_path):
    done = run_forks(2, compare, tmp_path)
    assert all(status == 0 and 'compared' in text for status, text in done), '\n'.join(text[-3000:] for _, text in done)


def test_what_cannot_be_shared_out():
    strategy = FSDPStrategy()
    with pytest.raises(ValueError, match='strategy fsdp: EMAHook averages whole weights'):
        strategy.check_hook(EMAHook())
    tied = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    tied[1].weight = tied[0].weight
    wrapper = OptimWrapper(torch.optim.SGD(tied.parameters(), 0.1))
    with pytest.raises(ValueError, match=r'strategy fsdp: 1\.weight and 0\.weight are one weight'):
        strategy.check(tied, wrapper)
    scalar = torch.nn.ParameterDict(dict(scale=torch.zeros(())))
    with pytest.raises(ValueError, match='strategy fsdp: scale is a single number'):
        strategy.check(scalar, wrapper)
