"""What stands at the places of MGFE and DW in Tables 6 and 7, against their equations."""

import math

import numpy as np
import pytest
import torch
from by_hand import array, assert_agrees, assert_gradients, conv, linear, randomize, softmax

from mgfe_ris.models.fusion import (
    BidirectionalAttention,
    CoAttention,
    ConvAttention,
    DoubleAttention,
    FixedWeight,
    SqueezeExcitation,
)

C, D = 4, 6
SIZES = [(8, 8), (7, 5), (3, 1), (1, 1)]


def maps(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def words_and_mask(batch):
    mask = torch.zeros(batch, 5, dtype=torch.bool)
    for i in range(batch):
        mask[i, : 2 + i] = True
    return maps(batch, 5, D), mask


def tokens(g):
    return g.reshape(len(g), -1).T


def attend(q, k, v):
    """(N, d), (M, d), (M, e) -> (N, e)."""
    return np.stack([v.T @ softmax(k @ one / math.sqrt(k.shape[1])) for one in q])


def bins(x, n):
    """Means of n x n regions that cover the map, overlapping where it does not divide: (regions, C)."""
    height, width = x.shape[1:]

    def edges(i, size):
        return slice(i * size // n, -(-(i + 1) * size // n))

    return np.stack([x[:, edges(i, height), edges(j, width)].mean((1, 2)) for i, j in np.ndindex(n, n)])


def windows(x, k):
    """Means of k x k windows, of the real pixels in the last ones: (windows, C)."""
    height, width = x.shape[1:]
    corners = [(i, j) for i in range(0, height, k) for j in range(0, width, k)]
    return np.stack([x[:, i : i + k, j : j + k].mean((1, 2)) for i, j in corners])


def co_attention(m, g, words, mask):
    spoken = words[mask > 0]
    keys, values = linear(m.word_key, spoken), linear(m.word_value, spoken)
    e = np.stack([softmax(keys @ q) @ values for q in linear(m.pixel_query, tokens(g))]).T.reshape(g.shape)
    sides = (m.visual, g), (m.language, e)
    pooled = [np.concatenate([bins(x, n) for n in (1, 3, 6, 8)]) for _, x in sides]
    assert len(pooled[0]) == 110
    scores = sum(
        linear(side.query, tokens(x)) @ linear(side.key, few).T for (side, x), few in zip(sides, pooled, strict=True)
    )
    affinity = softmax(scores / math.sqrt(len(g) / 2), axis=1)  # one, for both
    v, e = (
        linear(side.update, affinity @ linear(side.value, few)).T.reshape(g.shape)
        for (side, _), few in zip(sides, pooled, strict=True)
    )
    return conv(m.output, np.concatenate([e, v]))


def bidirectional(m, g, words, mask):
    spoken = words[mask > 0]
    heard = attend(linear(m.pixel_query, tokens(g)), linear(m.word_key, spoken), linear(m.word_value, spoken))
    pooled = windows(g, m.pool_size)
    seen = attend(linear(m.word_query, heard), linear(m.pixel_key, pooled), linear(m.pixel_value, pooled))
    return conv(m.output, np.concatenate([seen.T.reshape(g.shape), heard.T.reshape(g.shape)]))


def double_attention(m, g):
    feature, gather, distribute = (tokens(conv(part, g)) for part in (m.feature, m.gather, m.distribute))
    gathered = [softmax(weights) @ feature for weights in gather.T]  # a vector for each attention map
    mixed = np.stack(
        [sum(w * vector for w, vector in zip(softmax(pixel), gathered, strict=True)) for pixel in distribute]
    )
    return conv(m.output, mixed.T.reshape(-1, *g.shape[1:]))


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
@pytest.mark.parametrize(
    ('module', 'reference'),
    [(CoAttention(C, D), co_attention), (BidirectionalAttention(C, D, 2), bidirectional)],
    ids=['co', 'bidirectional'],
)
def test_attention_with_words_agrees_with_the_equations(module, reference, size):
    assert_agrees(randomize(module), reference, maps(2, C, *size), *words_and_mask(2))


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
def test_double_attention_agrees_with_the_equations(size):
    assert_agrees(randomize(DoubleAttention(8)), double_attention, maps(2, 8, *size))


@pytest.mark.parametrize('module', [CoAttention(C, D), BidirectionalAttention(C, D, 2)], ids=['co', 'bidirectional'])
def test_padding_is_not_heard_and_words_are(module):
    g, (words, mask) = maps(2, C, 4, 4), words_and_mask(2)
    module = randomize(module)
    changed = words.clone()
    changed[~mask] += 1
    torch.testing.assert_close(module(g, changed, mask), module(g, words, mask), rtol=0, atol=1e-12)
    changed[0, 0] += 1
    assert not torch.allclose(module(g, changed, mask)[0], module(g, words, mask)[0])
    nothing = torch.zeros_like(mask)
    assert module(g, words, nothing).isfinite().all()
    order = torch.tensor([3, 0, 4, 2, 1])  # words among padding: the mask says which, not the place
    torch.testing.assert_close(module(g, words[:, order], mask[:, order]), module(g, words, mask), rtol=0, atol=1e-12)


def test_gradients_agree_with_finite_differences():
    words, mask = words_and_mask(1)
    assert_gradients(randomize(CoAttention(2, D)), maps(1, 2, 2, 3), words, mask)
    assert_gradients(randomize(BidirectionalAttention(2, D, 2)), maps(1, 2, 2, 3), words, mask)
    assert_gradients(randomize(DoubleAttention(4)), maps(1, 4, 2, 3))
    for weigh in (ConvAttention(2), SqueezeExcitation(4)):
        channels = 2 if isinstance(weigh, ConvAttention) else 4
        assert_gradients(randomize(weigh), maps(1, channels, 2, 3), maps(1, channels, 2, 3))


def conv_attention(m, g, refined):
    a = 1 / (1 + np.exp(-conv(m.map, np.concatenate([refined, g]))))
    return a * refined + (1 - a) * g


def squeeze_excitation(m, g, refined):
    x = g + refined
    first, _, last, _ = m.excite
    hidden = np.maximum(array(first.weight)[:, :, 0, 0] @ x.mean((1, 2)) + array(first.bias), 0)
    s = 1 / (1 + np.exp(-(array(last.weight)[:, :, 0, 0] @ hidden + array(last.bias))))
    return s[:, None, None] * x


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
@pytest.mark.parametrize(
    ('module', 'reference'),
    [
        (ConvAttention(C), conv_attention),
        (SqueezeExcitation(C), squeeze_excitation),
        (FixedWeight(C, 0.3), lambda m, g, refined: 0.3 * refined + 0.7 * g),
    ],
    ids=['conv', 'se', 'fixed'],
)
def test_weights_agree_with_the_equations(module, reference, size):
    assert_agrees(randomize(module), reference, maps(2, C, *size), maps(2, C, *size))


def test_they_begin_where_they_say():
    g, refined = 1e-4 * torch.randn(2, C, 4, 4), 1e-4 * torch.randn(2, C, 4, 4)
    half = (g + refined) / 2
    torch.testing.assert_close(FixedWeight(C)(g, refined), half)
    torch.testing.assert_close(ConvAttention(C)(g, refined), half)
    begin = 1 / (1 + math.exp(-1))
    with torch.no_grad():
        bias_of_hidden = SqueezeExcitation(C)
        bias_of_hidden.excite[0].bias.zero_()
        torch.testing.assert_close(bias_of_hidden(g, refined), begin * (g + refined), rtol=0, atol=1e-7)


def test_widths_must_divide():
    for module in (DoubleAttention, SqueezeExcitation):
        with pytest.raises(ValueError, match=r'channels \(6\) must be a multiple of reduction \(4\)'):
            module(6)
