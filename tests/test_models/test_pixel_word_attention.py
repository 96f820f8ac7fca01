"""PixelWordAttention against eq. 1 (method 2)."""

import math

import numpy as np
import pytest
import torch
from by_hand import (
    array,
    assert_agrees,
    assert_gradients,
    conv,
    gelu,
    instance_norm,
    linear,
    randomize,
    softmax,
)

from mgfe_ris.models.fusion import PixelWordAttention

C, D = 6, 5


def reference(m, v, words, mask, norm=instance_norm):
    """Pixel by pixel and head by head."""
    q = norm(conv(m.query, v))
    k = linear(m.key, words) * mask[:, None]
    value = linear(m.value, words) * mask[:, None]
    context = np.zeros_like(v)
    for channels in np.split(np.arange(len(v)), m.num_heads):
        for y, x in np.ndindex(*v.shape[1:]):
            scores = [
                q[channels, y, x] @ k[t, channels] / math.sqrt(len(v)) + (0 if mask[t] else -1e4)
                for t in range(len(words))
            ]
            context[channels, y, x] = softmax(np.array(scores)) @ value[:, channels]
    lang = norm(conv(m.output, context))
    return gelu(conv(m.project, gelu(conv(m.visual, v)) * lang))


def inputs(size, mask, batch=2, channels=C):
    mask = torch.tensor([mask] * batch, dtype=torch.bool)
    words = torch.randn(batch, mask.shape[1], D, dtype=torch.float64)
    return torch.randn(batch, channels, *size, dtype=torch.float64), words, mask


@pytest.mark.parametrize('num_heads', [1, 2], ids='heads={}'.format)
@pytest.mark.parametrize(
    'mask',
    [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1], [0, 0]],
    ids='mask={}'.format,
)
@pytest.mark.parametrize('size', [(4, 3), (1, 5), (1, 1)], ids='size={}'.format)
def test_agrees_with_the_equation(size, mask, num_heads):
    module = randomize(PixelWordAttention(C, D, num_heads=num_heads))
    assert_agrees(module, reference, *inputs(size, mask))


def norm_of_channels(x):
    mean, variance = x.mean(0), x.var(0)
    return (x - mean) / np.sqrt(variance + 1e-5)


@pytest.mark.parametrize(
    ('norm', 'by_hand'),
    [('LN', norm_of_channels), ('BN', lambda x: x / math.sqrt(1 + 1e-5)), (None, lambda x: x)],
    ids=['LN', 'BN in evaluation', 'none'],
)
def test_other_norms(norm, by_hand):
    module = randomize(PixelWordAttention(C, D, norm=norm)).eval()
    for part in (module.query_norm, module.output_norm):
        for name, value in part.named_parameters():
            value.data.fill_(name == 'weight')
    assert_agrees(module, lambda *args: reference(*args, norm=by_hand), *inputs((4, 3), [1, 1, 0]))


def test_batch_norm_learns_its_statistics_apart_for_queries_and_answers():
    module = PixelWordAttention(C, D, norm='BN').double()
    module(*inputs((4, 3), [1, 1, 0]))
    means = module.query_norm.running_mean, module.output_norm.running_mean
    assert means[0].any() and means[1].any() and not torch.allclose(*means)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match=r"norm must be one of \['IN', 'BN', 'LN', None\]; got 'GN'"):
        PixelWordAttention(C, D, norm='GN')


def test_agrees_for_a_batch_of_one():
    assert_agrees(randomize(PixelWordAttention(C, D)), reference, *inputs((3, 2), [1, 1, 0], batch=1))


def test_each_photo_of_a_batch_has_its_own_mask():
    v, words, mask = inputs((3, 4), [1, 1, 1])
    mask[1, 1:] = False
    assert_agrees(randomize(PixelWordAttention(C, D)), reference, v, words, mask)


@pytest.mark.parametrize('batch', [1, 2], ids='batch={}'.format)
@pytest.mark.parametrize('num_heads', [1, 2], ids='heads={}'.format)
def test_gradients_agree_with_finite_differences(num_heads, batch):
    module = randomize(PixelWordAttention(4, D, num_heads=num_heads))
    assert_gradients(module, *inputs((2, 2), [1, 1, 0], batch=batch, channels=4))


def test_padded_words_change_nothing_bitwise():
    module = PixelWordAttention(C, D)
    v, words, mask = inputs((4, 3), [1, 1, 0, 0])
    v, words = v.float(), words.float()
    before = module(v, words, mask)
    words[:, 2:] = 100 * torch.randn(2, 2, D)
    assert torch.equal(module(v, words, mask), before)
    words[:, 1] += 1
    assert not torch.allclose(module(v, words, mask), before, atol=1e-3)


def test_dropout_acts_in_training_and_only_there():
    module = PixelWordAttention(C, D, dropout=0.5)
    batch = [x.float() if x.is_floating_point() else x for x in inputs((8, 8), [1, 1, 1])]
    off_in_training = (module.train()(*batch) == 0).float().mean()
    assert 0.3 < off_in_training < 0.7
    assert (module.eval()(*batch) == 0).float().mean() < 0.01


def test_a_map_of_one_pixel_can_be_trained_on():
    module = PixelWordAttention(C, D).train()
    v, words, mask = inputs((1, 1), [1, 1, 1])
    out = module(v.float(), words.float(), mask)
    # its own mean: no language is left, only the last convolution's bias
    expected = gelu(array(module.project.bias)).reshape(1, C, 1, 1).repeat(2, axis=0)
    torch.testing.assert_close(out.double(), torch.from_numpy(expected), rtol=0, atol=1e-6)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r'channels \(6\) must be a multiple of num_heads \(4\)'):
        PixelWordAttention(C, D, num_heads=4)
