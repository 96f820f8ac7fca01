"""The neck of ETRIS and BarLeRIa."""

import pytest
import torch

from mgfe_ris.models.gated_neck import SentenceGate, SentenceGatedNeck


def test_a_gate_is_attention_to_one_key():
    """Queries and keys, whatever they are, change nothing, and get no gradient."""
    torch.manual_seed(0)
    gate = SentenceGate(8).double()
    torch.nn.init.normal_(gate.multihead_attn.in_proj_bias)
    torch.nn.init.normal_(gate.multihead_attn.out_proj.bias)
    x, sentence = torch.randn(2, 8, 3, 4).double(), torch.randn(2, 8).double()
    gated = gate(x, sentence)
    pixels, key = x.flatten(2).permute(2, 0, 1), sentence[None]
    heard, _ = gate.multihead_attn(pixels, key, key)
    torch.testing.assert_close(gated.flatten(2), (pixels * heard).permute(1, 2, 0))
    gated.sum().backward()
    gradient = gate.multihead_attn.in_proj_weight.grad
    assert gradient[:16].eq(0).all() and gradient[16:].ne(0).all()


@pytest.mark.parametrize('strides, sizes', [((2, 1, 2), (8, 4, 2)), ((1, 1, 1), (4, 4, 4))])
def test_maps_of_a_pyramid_and_of_a_plain_transformer(strides, sizes):
    neck = SentenceGatedNeck((6, 8, 10), 12, 5, strides)
    feats = [torch.randn(1, c, size, size) for c, size in zip((6, 8, 10), sizes, strict=True)]
    assert neck(feats, torch.randn(3, 5)).shape == (3, 12, 4, 4)
