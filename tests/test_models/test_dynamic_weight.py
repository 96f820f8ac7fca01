"""DynamicWeight against eqs. 13 to 15 (method 4)."""

import math

import numpy as np
import pytest
import torch
from by_hand import assert_agrees, assert_gradients, conv, gelu, randomize

from mgfe_ris.models.fusion import DynamicWeight

C = 8


def gate(layers, x):
    return np.tanh(conv(layers[2], gelu(conv(layers[0], x))))


def reference(m, g, refined):
    return gate(m.phi, refined) * refined + gate(m.gamma, g) * g


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize('batch', [1, 2])
@pytest.mark.parametrize('size', [(4, 3), (1, 1)], ids='size={}'.format)
def test_agrees_with_the_equations(size, batch):
    assert_agrees(randomize(DynamicWeight(C)), reference, maps(batch, C, *size), maps(batch, C, *size))


def test_gradients_agree_with_finite_differences():
    assert_gradients(randomize(DynamicWeight(C)), maps(1, C, 2, 3), maps(1, C, 2, 3))


def test_the_gates_have_weights_of_their_own_of_the_counted_shape():
    shapes = {name: tuple(p.shape[:2]) for name, p in DynamicWeight(C).named_parameters()}
    of_one_gate = {'0.weight': (C // 4, C), '2.weight': (C, C // 4), '2.bias': (C,)}
    assert shapes == {f'{g}.{k}': v for g in ('phi', 'gamma') for k, v in of_one_gate.items()}


@pytest.mark.parametrize('kwargs', [{}, dict(bias=0.5), dict(bias=0.0)], ids=str)
def test_the_gates_begin_open_at_tanh_1_or_where_they_are_told(kwargs):
    module = DynamicWeight(C, **kwargs)
    module.init_weights()
    g, refined = 1e-4 * torch.randn(2, C, 4, 4), 1e-4 * torch.randn(2, C, 4, 4)
    begin = math.tanh(kwargs.get('bias', 1.0))
    torch.testing.assert_close(module(g, refined), begin * (g + refined), rtol=0, atol=1e-7)


def test_the_reduction_must_divide_the_width():
    with pytest.raises(ValueError, match=r'channels \(6\) must be a multiple of reduction \(4\)'):
        DynamicWeight(6)
