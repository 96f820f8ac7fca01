"""LightDecodeHead against section 4 of the method."""

import numpy as np
import pytest
import torch
from by_hand import array, assert_agrees, conv, randomize, upsample
from torch import nn

from mgfe_ris.models import LightDecodeHead

CHANNELS = (2, 3, 4, 6)


def block(layers, x):
    for layer in layers:
        norm = layer.bn
        mean, variance, weight, bias = (
            array(value)[:, None, None] for value in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        x = (conv(layer.conv, x) - mean) / np.sqrt(variance + 1e-5) * weight + bias
        x = np.maximum(x, 0)
    return x


def reference(m, out_0, out_1, out_2, out_3):
    block_4, block_3, block_2 = m.blocks
    x = block(block_4, np.concatenate([upsample(out_3, out_2.shape[1:]), out_2]))
    x = block(block_3, np.concatenate([upsample(x, out_1.shape[1:]), out_1]))
    x = block(block_2, np.concatenate([upsample(x, out_0.shape[1:]), out_0]))
    return conv(m.classify, x)


def head(**kwargs):
    module = randomize(LightDecodeHead(CHANNELS, **kwargs)).eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return module


class Maps(nn.Module):
    """The head, with the four maps as four arguments."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, *feats):
        return self.head(feats)


@pytest.mark.parametrize('batch', [1, 2], ids='batch={}'.format)
@pytest.mark.parametrize(
    'sizes',
    [[(8, 8), (4, 4), (2, 2), (1, 1)], [(9, 7), (5, 4), (3, 2), (2, 1)], [(3, 2)] * 4],
    ids='sizes={}'.format,
)
def test_agrees_with_the_equations(sizes, batch):
    feats = [torch.randn(batch, c, *size, dtype=torch.float64) for c, size in zip(CHANNELS, sizes, strict=True)]
    assert_agrees(Maps(head()), lambda m, *feats: reference(m.head, *feats), *feats)


def test_the_hidden_width_is_half_of_the_last_stages_unless_given():
    assert LightDecodeHead(CHANNELS).classify.in_channels == CHANNELS[-1] // 2
    assert LightDecodeHead(CHANNELS, hidden=5).classify.in_channels == 5


def test_the_convolutions_have_no_bias_and_the_classifier_has():
    with_bias = [name for name, _ in LightDecodeHead(CHANNELS).named_parameters() if 'bias' in name]
    assert [name for name in with_bias if '.bn.' not in name] == ['classify.bias']
