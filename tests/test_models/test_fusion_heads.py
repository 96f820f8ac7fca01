"""Decoders that are parts of other systems, RRN's ConvLSTM and BRINet's gated fusion, against their equations."""

import numpy as np
import pytest
import torch
from by_hand import array, assert_agrees, assert_gradients, conv, randomize, upsample

from mgfe_ris.models import ConvLSTMHead, GatedFusionHead

CHANNELS = (3, 4, 5, 6)
SIZES = [((8, 6), (4, 3), (2, 2), (1, 1)), ((6, 4), (3, 2), (3, 2), (3, 2))]  # the second: of one size, as theirs
K = 4


class Head(torch.nn.Module):
    """A head whose maps are arguments, as the comparisons want them."""

    def __init__(self, head):
        super().__init__()
        self.head = randomize(head)

    def forward(self, *feats):
        return self.head(feats)


def feats(sizes, batch=2):
    return [torch.randn(batch, c, *size, dtype=torch.float64) for c, size in zip(CHANNELS, sizes, strict=True)]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def on_one_grid(head, maps):
    """The last three, finest first."""
    laterals = [relu(conv(layer, x)) for layer, x in zip(head.grid.laterals, maps[1:], strict=True)]
    return [upsample(x, maps[1].shape[1:]) for x in laterals]


def whole_map_norm(norm, x):
    x = (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + norm.eps)
    return x * array(norm.weight)[:, None, None] + array(norm.bias)[:, None, None]


def conv_lstm(module, *maps):
    head, cell = module.head, module.head.cell
    c3, c4, c5 = on_one_grid(head, maps)
    h = c = np.zeros_like(c3)
    of_x, of_h = array(cell.gates.weight)[:, :K, 0, 0], array(cell.gates.weight)[:, K:, 0, 0]
    for x in (c5, c4, c3):
        y = np.einsum('oc,chw->ohw', of_x, x) + np.einsum('oc,chw->ohw', of_h, h)
        y += array(cell.gates.bias)[:, None, None]
        j, i, f, o = y[:K], y[K : 2 * K], y[2 * K : 3 * K], y[3 * K :]
        i = sigmoid(whole_map_norm(cell.norm_i, i + array(cell.peep_i) * c))
        f = sigmoid(1 + whole_map_norm(cell.norm_f, f + array(cell.peep_f) * c))
        c = f * c + i * np.tanh(whole_map_norm(cell.norm_j, j))
        o = sigmoid(whole_map_norm(cell.norm_o, o + array(cell.peep_o) * c))
        c = whole_map_norm(cell.norm_c, c)
        h = o * np.tanh(c)
    return conv(head.classify, h)


def gated_fusion(module, *maps):
    head = module.head
    b3, b4, b5 = on_one_grid(head, maps)

    def gate(one, a, b):
        return sigmoid(conv(one.weigh, relu(conv(one.join, np.concatenate([a, b]))))) * a + b

    down, up = head.left, head.right
    left = gate(down[2], gate(down[0], b5, b4), gate(down[1], b4, b3))
    right = gate(up[2], gate(up[0], b3, b4), gate(up[1], b4, b5))
    return conv(head.classify, relu(conv(head.output, left + right)))


HEADS = {
    'ConvLSTM': (lambda sizes: Head(ConvLSTMHead(CHANNELS, sizes[1], hidden=K)), conv_lstm),
    'gated fusion': (lambda sizes: Head(GatedFusionHead(CHANNELS, hidden=K)), gated_fusion),
}
each_head = pytest.mark.parametrize(('build', 'reference'), HEADS.values(), ids=HEADS.keys())


@pytest.mark.parametrize('sizes', SIZES, ids=['strides', 'one size'])
@each_head
def test_it_agrees_with_the_equations(build, reference, sizes):
    assert_agrees(build(sizes), reference, *feats(sizes))


@each_head
def test_gradients_agree_with_finite_differences(build, reference):
    sizes = ((1, 1), (2, 3), (2, 2), (1, 1))
    assert_gradients(build(sizes), *feats(sizes, batch=1), fast=True)


@each_head
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_it_runs_in_mixed_precision(build, reference, dtype):
    maps = [x.float() for x in feats(SIZES[0])]
    module = build(SIZES[0]).float()
    exact = module(*maps)
    with torch.autocast('cpu', dtype=dtype):
        half = module(*maps)
    assert half.isfinite().all() and (half - exact).norm() < 0.1 * exact.norm()


@each_head
def test_widths_that_nobody_names(build, reference):
    kind = type(build(SIZES[0]).head)
    head = kind(CHANNELS, **({'map_size': 4} if kind is ConvLSTMHead else {}))
    assert head.grid.laterals[0].out_channels == 3 and head.classify.out_channels == 2


def test_a_map_of_another_size_than_its_weights_is_refused_by_name():
    with pytest.raises(ValueError, match=r'ConvLSTMHead was built for maps of \(4, 4\), and got \(4, 3\)'):
        ConvLSTMHead(CHANNELS, 4).double()(feats(SIZES[0]))
    with pytest.raises(ValueError, match='map_size must be the side'):
        ConvLSTMHead(CHANNELS, (4, 3, 2))


def test_fewer_than_three_maps_are_refused():
    with pytest.raises(ValueError, match=r'channels must be of three maps at least; got \(3, 4\)'):
        GatedFusionHead((3, 4))
