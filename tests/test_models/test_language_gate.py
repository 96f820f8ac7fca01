"""LAVT's language gate (method 4)."""

import numpy as np
import pytest
import torch
from by_hand import assert_agrees, assert_gradients, conv, randomize

from mgfe_ris.models.fusion import LanguageGate

C = 6


def reference(m, g):
    return np.tanh(conv(m.gate[2], np.maximum(conv(m.gate[0], g), 0))) * g


@pytest.mark.parametrize('shape', [(1, C, 1, 1), (2, C, 4, 3)], ids='shape={}'.format)
def test_agrees_with_the_equation(shape):
    assert_agrees(randomize(LanguageGate(C)), reference, torch.randn(shape, dtype=torch.float64))


def test_a_sigmoid_in_the_place_of_the_tanh():
    def sigmoid(m, g):
        return g / (1 + np.exp(-conv(m.gate[2], np.maximum(conv(m.gate[0], g), 0))))

    gate = randomize(LanguageGate(C, activation='sigmoid'))
    assert_agrees(gate, sigmoid, torch.randn(2, C, 4, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"activation must be one of \['tanh', 'sigmoid'\]; got 'relu'"):
        LanguageGate(C, activation='relu')


def test_it_begins_with_the_official_deviation():
    for layer in (LanguageGate(256).gate[0], LanguageGate(256).gate[2]):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.03)


def test_without_a_deviation_it_is_closed_and_learns_nothing():
    gate, g = LanguageGate(C, std=0.0), torch.randn(2, C, 4, 3)
    gate(g).sum().backward()
    assert gate(g).eq(0).all() and all(p.grad.eq(0).all() for p in gate.parameters())


def test_gradients_agree_with_finite_differences():
    assert_gradients(randomize(LanguageGate(C)), torch.randn(1, C, 2, 3, dtype=torch.float64))


def test_its_layers_have_no_bias():
    assert sum(p.numel() for p in LanguageGate(C).parameters()) == 2 * C * C


def test_refuses_a_refined_map_and_says_what_to_do():
    g = torch.randn(1, C, 2, 2)
    with pytest.raises(ValueError, match='refine=None, or weigh with DynamicWeight'):
        LanguageGate(C)(g, g)
