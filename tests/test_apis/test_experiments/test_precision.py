"""Mixed precision on a CPU: bf16 where autocast says so, weights and gradients in fp32."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mgfe_ris.apis import load_config, use_mixed_precision

TINY = Path(__file__).parents[3] / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'


def test_training_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    init_default_scope('mmseg')
    cfg = load_config(TINY)
    use_mixed_precision(cfg)
    model = nn.Linear(4, 1)
    before = model.weight.detach().clone()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    with wrapper.optim_context(model):
        out = model(torch.ones(2, 4))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().sum())
    assert model.weight.dtype == torch.float32 and not torch.equal(model.weight, before)
    assert wrapper.clip_grad_kwargs and wrapper.optimizer.param_groups[0]['lr'] == cfg.optim_wrapper.optimizer.lr


@pytest.mark.parametrize(('cuda', 'name'), [(True, 'AmpOptimWrapper'), (False, 'CPUAmpOptimWrapper')])
def test_the_wrapper_fits_the_device(monkeypatch, cuda, name):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: cuda)
    cfg = load_config(TINY)
    use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == name
    assert cfg.optim_wrapper.get('loss_scale') == ('dynamic' if cuda else None)


@pytest.mark.parametrize(('numbers', 'dtype', 'scaled'), [('bf16', torch.bfloat16, False), ('fp16', None, True)])
def test_numbers_on_cuda(monkeypatch, numbers, dtype, scaled):
    """As mmengine's wrapper takes them; without a GPU it builds, but does not train. None: its default, fp16."""
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')  # which mmengine's log reads
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    init_default_scope('mmseg')
    cfg = load_config(TINY)
    use_mixed_precision(cfg, numbers)
    cfg.optim_wrapper.update({} if not scaled else dict(loss_scale=dict(init_scale=2.0, device='cpu')))
    wrapper = build_optim_wrapper(nn.Linear(4, 1), cfg.optim_wrapper)
    assert type(wrapper) is AmpOptimWrapper
    assert wrapper.cast_dtype == dtype and wrapper.loss_scaler.is_enabled() == scaled


@pytest.mark.parametrize(('numbers', 'said'), [('fp16', 'needs a loss scale'), ('fp8', "got 'fp8'")])
def test_numbers_that_are_not_there(monkeypatch, numbers, said):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=said):
        use_mixed_precision(load_config(TINY), numbers)
