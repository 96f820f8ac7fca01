"""Tables 2 and 3 of the paper, to the printed digit."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mgfe_ris.apis import load_config
from mgfe_ris.profiling import Complexity, count_complexity
from mgfe_ris.profiling.flops import _attention_rules, count_by_operator


def count(name: str, **kwargs) -> Complexity:
    cfg = load_config(name, from_scratch=True)
    init_default_scope(cfg.default_scope)
    return count_complexity(MODELS.build(cfg.model), **kwargs)


@pytest.mark.parametrize(
    ('name', 'params', 'gflops'),
    [
        ('table3_1_baseline', '227.74', '192.30'),
        ('table3_2_mgfe', '236.26', '198.22'),
        ('table3_4_mgfe_dw', '237.65', '199.16'),
    ],
)
def test_table_3(name, params, gflops):
    """Rows 3 and 5 differ by the loss alone; all five, as ``ablate.py`` prints them, in test_ablation_rows.py."""
    c = count(name)
    assert f'{c.image_params + c.text_params:.2f}' == params
    assert f'{c.image_modules:.2f}' == gflops
    assert f'{c.text_params:.2f}' == '108.89'


def test_attention_products_and_text_encoder_by_hand():
    c = count('mgfe-ris_tiny_refshapes', size=(64, 64), words=10)
    stages = list(zip((16, 32, 64, 128), (32, 16, 8, 4), (4, 4, 4, 4), strict=True))
    words = sum(2 * side**2 * 10 * width for width, side, _ in stages)
    pooled = sum(2 * side**2 * pooled**2 * width for width, side, pooled in stages)
    assert c.image_attention == pytest.approx((words + pooled) / 1e9)
    a_layer = 10 * (4 * 128**2 + 2 * 128 * 256) + 2 * 10 * 10 * 128
    assert c.text == pytest.approx(2 * a_layer / 1e9)


def test_it_counts_sizes_and_leaves_the_model_as_it_was():
    cfg = load_config('mgfe-ris_tiny_refshapes')
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    count_complexity(model, size=(64, 64), words=10)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    after = model.state_dict()
    assert all(value.device.type == 'cpu' and torch.equal(value, before[name]) for name, value in after.items())


class Plain(nn.Module):
    """A model of another shape: no text encoder, no decode head, and attention of torch's own."""

    def __init__(self):
        super().__init__()
        self.see = nn.Conv2d(3, 4, 1, bias=False)
        self.attend = nn.MultiheadAttention(4, 1, bias=False, batch_first=True)

    def segment(self, image, ids, mask):
        x = self.see(image).flatten(2).mT
        return self.attend(x, x, x, need_weights=False)[0]


def test_a_model_of_another_shape_by_hand():
    c = count_complexity(Plain(), size=(8, 8))
    assert (c.text, c.text_params, c.image_params) == (0, 0, pytest.approx((12 + 4 * 16) / 1e6))
    assert c.image_modules == pytest.approx(64 * 12 / 1e9)
    assert c.image_attention == pytest.approx((64 * 4 * 16 + 2 * 64 * 64 * 4) / 1e9)


@pytest.mark.parametrize('backend', [SDPBackend.MATH, SDPBackend.FLASH_ATTENTION], ids=lambda b: b.name)
@pytest.mark.parametrize('masked', [False, True])
def test_attention_counts_its_products_whatever_computes_it(backend, masked):
    q, k, v = (torch.randn(2, 3, n, 16, requires_grad=True) for n in (10, 6, 6))
    bias = torch.randn(2, 3, 10, 6) if masked else None

    def forward():
        return F.scaled_dot_product_attention(q, k, v, bias)

    with sdpa_kernel(backend):
        there = count_by_operator(forward)
        back = count_by_operator(lambda: forward().sum().backward())
    fused = [name for name in there if 'attention' in name]
    assert bool(fused) == (backend is SDPBackend.FLASH_ATTENTION), there
    products = 2 * (2 * 3 * 10 * 6) * (16 + 16)
    assert sum(there.values()) == products and sum(back.values()) == 3 * products


def test_each_fused_attention_of_this_torch_has_a_rule():
    """One that has none would count nothing. What is named math is made of products that count themselves."""
    names = {name.split('.')[0] for name in torch._C._dispatch_get_all_op_names()}
    fused = {name for name in names if name.startswith('aten::_scaled_dot_product_') and '_math' not in name}
    assert fused and fused == {f'aten::{op.__name__}' for op, _ in _attention_rules()}


def test_the_rule_of_fused_attention_by_hand():
    """Wider values than keys, which no kernel of a CPU has."""
    rules = dict(_attention_rules())
    forward = rules[torch.ops.aten._scaled_dot_product_efficient_attention]
    backward = rules[torch.ops.aten._scaled_dot_product_efficient_attention_backward]
    q, k, v, out = (2, 3, 10, 16), (2, 3, 6, 16), (2, 3, 6, 24), (2, 3, 10, 24)
    scores, values = 2 * 2 * 3 * 10 * 6 * 16, 2 * 2 * 3 * 10 * 6 * 24
    assert forward(q, k, v, None, False) == scores + values
    assert backward(out, q, k, v, None) == 2 * (scores + values)
