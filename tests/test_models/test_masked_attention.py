"""Queries that read inside of their own masks."""

import pytest
import torch
import torch.nn.functional as F

from mgfe_ris.models.masked_attention import QueryAttention, QueryFeedForward, blocked_outside


def test_what_a_mask_leaves_out_is_blocked():
    """At the size that is read; a query whose mask is empty everywhere reads everything."""
    masks = torch.full((1, 3, 4, 4), -5.0)
    masks[0, 0, :2, 2:] = 5.0
    masks[0, 1] = 0.0  # a score of a half is not below it
    blocked = blocked_outside(masks.requires_grad_(), (2, 2))
    assert blocked.tolist() == [[[True, False, True, True], [False] * 4, [False] * 4]]


def test_attention_is_its_formula():
    """Places are added to queries and keys, not to values, and what is blocked has no share."""
    torch.manual_seed(0)
    layer = QueryAttention(8, heads=2).double()
    x, places = torch.randn(2, 3, 8).double(), torch.randn(3, 8).double()
    memory, memory_places = torch.randn(2, 5, 8).double(), torch.randn(5, 8).double()
    blocked = torch.rand(2, 3, 5) < 0.4
    blocked[..., 0] = False
    q, k, v = (
        F.linear(given, *parameters).unflatten(-1, (2, 4)).transpose(1, 2)
        for given, *parameters in zip(
            (x + places, memory + memory_places, memory),
            layer.attn.in_proj_weight.chunk(3),
            layer.attn.in_proj_bias.chunk(3),
            strict=True,
        )
    )
    scores = (q @ k.mT / 2).masked_fill(blocked[:, None], float('-inf'))
    heard = layer.attn.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
    expected = layer.norm(x + heard)
    torch.testing.assert_close(layer(x, places, memory, memory_places, blocked), expected, rtol=0, atol=1e-12)
    assert (layer(x, places, memory, memory_places) - expected).abs().max() > 1e-3


def test_heads_share_the_channels():
    with pytest.raises(ValueError, match=r'channels \(8\) must be a multiple of heads \(3\)'):
        QueryAttention(8, heads=3)


def test_feed_forward_is_its_formula():
    torch.manual_seed(0)
    layer, x = QueryFeedForward(8, 16), torch.randn(2, 3, 8)
    torch.testing.assert_close(layer(x), layer.norm(x + layer.linear2(layer.linear1(x).clamp(min=0))))
