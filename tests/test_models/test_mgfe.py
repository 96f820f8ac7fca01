"""MGFE against eqs. 2 to 12 (method 3)."""

import math

import numpy as np
import pytest
import torch
from by_hand import assert_agrees, assert_gradients, conv, randomize, softmax

from mgfe_ris.models.fusion import MGFE

C = 4


def pooled(x, k):
    """Means of k x k windows, of the real pixels in the last ones: (C, tokens)."""
    height, width = x.shape[1:]
    return np.stack(
        [
            x[:, top : min(top + k, height), left : min(left + k, width)].mean((1, 2))
            for top in range(0, height, k)
            for left in range(0, width, k)
        ],
        axis=1,
    )


def reference(m, g):
    q, k, v = np.split(conv(m.qkv, g), 3)
    d = len(g) // m.num_heads

    inner = conv(m.w1, conv(m.depthwise_q, q) * conv(m.depthwise_k, k))
    swish = inner / (1 + np.exp(-inner))
    local = np.tanh(conv(m.w2, swish) / math.sqrt(d))
    local = local * conv(m.pointwise_v, conv(m.depthwise_v, v))

    k_g, v_g = pooled(k, m.pool_size), pooled(v, m.pool_size)
    everywhere = np.zeros_like(g)
    for channels in np.split(np.arange(len(g)), m.num_heads):
        for y, x in np.ndindex(*g.shape[1:]):
            weights = softmax(q[channels, y, x] @ k_g[channels] / math.sqrt(d))
            everywhere[channels, y, x] = v_g[channels] @ weights
    return conv(m.output, np.concatenate([local, everywhere]))


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize('num_heads', [1, 2], ids='heads={}'.format)
@pytest.mark.parametrize(
    ('size', 'pool_size'),
    [
        ((8, 8), 4),
        ((7, 5), 4),
        ((5, 7), 2),
        ((9, 1), 8),
        ((3, 4), 1),
        ((2, 3), 8),
        ((1, 1), 1),
        ((1, 1), 2),
    ],
)
def test_agrees_with_the_equations(size, pool_size, num_heads):
    module = randomize(MGFE(C, pool_size, num_heads=num_heads))
    assert_agrees(module, reference, maps(2, C, *size))


def test_agrees_for_a_batch_of_one():
    assert_agrees(randomize(MGFE(C, 4)), reference, maps(1, C, 7, 5))


def test_a_norm_holds_its_scale():
    def held(m, g):
        out = reference(m, g)
        return (out - out.mean()) / np.sqrt(out.var() + 1e-5)

    module = MGFE(C, 2, hold_scale=True)
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in MGFE(C, 2).parameters()) + 2 * C
    randomize(module).norm.reset_parameters()
    assert_agrees(module, held, maps(2, C, 5, 4))


@pytest.mark.parametrize('num_heads', [1, 2], ids='heads={}'.format)
def test_gradients_agree_with_finite_differences(num_heads):
    assert_gradients(randomize(MGFE(2, 2, num_heads=num_heads)), maps(1, 2, 3, 2))


def test_the_global_branch_reaches_from_corner_to_corner_and_the_local_one_does_not():
    module = randomize(MGFE(C, 2))
    g = maps(1, C, 12, 12)
    moved = g.clone()
    moved[..., 0, 0] += 1
    assert (module(moved) - module(g))[..., 8:, 8:].abs().max() > 1e-6
    with torch.no_grad():
        module.output.weight[:, C:] = 0
    assert torch.equal(module(moved)[..., 8:, 8:], module(g)[..., 8:, 8:])
    assert not torch.equal(module(moved)[..., :3, :3], module(g)[..., :3, :3])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r'channels \(4\) must be a multiple of num_heads \(3\)'):
        MGFE(C, 2, num_heads=3)
