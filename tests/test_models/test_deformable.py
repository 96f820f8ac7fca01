"""Deformable attention against a computation of one number after the other; the encoder, and its export."""

import math

import pytest
import torch
from torch import Tensor, nn

from mgfe_ris.models.deformable import (
    DeformableAttention,
    DeformableEncoder,
    pixel_centres,
    sample_maps,
    sample_rows,
    sine_places,
)

SIZES = ((2, 3), (4, 5))


def by_hand(value: Tensor, where: Tensor, weights: Tensor) -> Tensor:
    """One point after the other, each the four pixels around it, by the product of what is left on both axes."""
    batch, queries, heads, levels, points = weights.shape
    rows = []
    for b in range(batch):
        for n in range(queries):
            for h in range(heads):
                total = torch.zeros(value.shape[-1], dtype=value.dtype)
                for level in range(levels):
                    before = sum(height * width for height, width in SIZES[:level])
                    for p in range(points):
                        point = where[b, n, h, level, p]
                        found = _at(value[b, before:, h], SIZES[level], point)
                        total = total + weights[b, n, h, level, p] * found
                rows.append(total)
    return torch.stack(rows).view(batch, queries, heads, -1)


def _at(pixels: Tensor, size: tuple[int, int], point: Tensor) -> Tensor:
    height, width = size
    x, y = point[0] * width - 0.5, point[1] * height - 0.5
    total = torch.zeros_like(pixels[0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                share = (1 - (x - column).abs()) * (1 - (y - row).abs())
                total = total + share * pixels[row * width + column]
    return total


@pytest.mark.parametrize('sample', [sample_maps, sample_rows])
def test_points_are_sampled_as_by_hand(sample):
    """In float64, inside and outside of the maps, and so are all gradients."""
    torch.manual_seed(0)
    pixels = sum(height * width for height, width in SIZES)
    value = torch.randn(2, pixels, 2, 3, dtype=torch.double, requires_grad=True)
    where = (torch.rand(2, 3, 2, 2, 2, 2, dtype=torch.double) * 1.6 - 0.3).requires_grad_()
    where.data[0, 0] += 1e3  # far away, too
    weights = torch.randn(2, 3, 2, 2, 2, dtype=torch.double, requires_grad=True)
    outside = ((where < 0) | (where > 1)).any(-1)
    assert outside.any() and not outside.all()
    ours, expected = sample(value, SIZES, where, weights), by_hand(value, where, weights)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    into = torch.randn_like(ours)
    for name, mine, theirs in zip(
        ('value', 'where', 'weights'),
        torch.autograd.grad((ours * into).sum(), (value, where, weights)),
        torch.autograd.grad((expected * into).sum(), (value, where, weights)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-11, msg=lambda text, name=name: f'{name}: {text}')


def test_attention_is_its_formula():
    """Offsets are pixels of the map that is read; the weights of a head's points, of all maps, have a sum of 1."""
    torch.manual_seed(0)
    attention = DeformableAttention(6, heads=2, levels=2, points=2).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    query, memory = torch.randn(2, 26, 6).double(), torch.randn(2, 26, 6).double()
    centres = pixel_centres(SIZES, torch.device('cpu'), torch.double)
    offsets = attention.sampling_offsets(query).view(2, 26, 2, 2, 2, 2)
    where = torch.empty_like(offsets)
    for level, (height, width) in enumerate(SIZES):
        where[..., level, :, 0] = centres[:, 0, None, None] + offsets[..., level, :, 0] / width
        where[..., level, :, 1] = centres[:, 1, None, None] + offsets[..., level, :, 1] / height
    weights = attention.attention_weights(query).view(2, 26, 2, 4).softmax(-1).view(2, 26, 2, 2, 2)
    heard = by_hand(attention.value_proj(memory).view(2, 26, 2, 3), where, weights)
    expected = attention.output_proj(heard.reshape(2, 26, 6))
    torch.testing.assert_close(attention(query, centres, memory, SIZES), expected, rtol=0, atol=1e-12)


def test_a_new_attention_looks_in_eight_directions():
    """1, 2, 3 and 4 pixels far, the same in each map, and weighs all that it sees alike."""
    attention = DeformableAttention(32, heads=8, levels=3, points=4)
    offsets = attention.sampling_offsets.bias.view(8, 3, 4, 2)
    assert torch.allclose(offsets[0, 0], torch.tensor([[1.0, 0], [2, 0], [3, 0], [4, 0]]), atol=1e-6)
    assert torch.allclose(offsets[1, 2], torch.tensor([[1.0, 1], [2, 2], [3, 3], [4, 4]]), atol=1e-6)
    assert torch.allclose(offsets[6, 1], torch.tensor([[0, -1.0], [0, -2], [0, -3], [0, -4]]), atol=1e-6)
    assert not attention.sampling_offsets.weight.any() and not attention.attention_weights.weight.any()
    assert not attention.attention_weights.bias.any()


def test_places_are_mask2formers():
    """The row first; a map's last row is 2 pi, whatever its size; sines and cosines in turn."""
    places = sine_places(3, 5, 8, torch.device('cpu'), torch.double).view(3, 5, 8)
    for row in range(3):
        for column in range(5):
            y, x = ((n + 1) / (length + 1e-6) * 2 * math.pi for n, length in ((row, 3), (column, 5)))
            expected = [f(place / 10000 ** (i / 4)) for place in (y, x) for i in (0, 2) for f in (math.sin, math.cos)]
            torch.testing.assert_close(places[row, column], torch.tensor(expected).double(), rtol=0, atol=1e-7)


def test_centres_are_those_of_pixels():
    centres = pixel_centres(SIZES, torch.device('cpu'), torch.float32)
    expected = [[1 / 6, 1 / 4], [3 / 6, 1 / 4], [5 / 6, 1 / 4], [1 / 6, 3 / 4]]
    torch.testing.assert_close(centres[:4], torch.tensor(expected))
    torch.testing.assert_close(centres[-1], torch.tensor([0.9, 0.875]))


def _encoder() -> DeformableEncoder:
    torch.manual_seed(0)
    encoder = DeformableEncoder((5, 3), channels=32, layers=1, heads=4, points=2, hidden=16).eval()
    for layer in encoder.layers:  # else all points weigh the same and no query says where it looks
        nn.init.normal_(layer.self_attn.sampling_offsets.weight, std=0.1)
        nn.init.normal_(layer.self_attn.attention_weights.weight, std=0.5)
    return encoder


def test_maps_keep_their_sizes_and_hear_of_each_other():
    encoder = _encoder()
    feats = [torch.randn(2, 5, 2, 3, requires_grad=True), torch.randn(2, 3, 4, 5, requires_grad=True)]
    coarse, fine = encoder(feats)
    assert coarse.shape == (2, 32, 2, 3) and fine.shape == (2, 32, 4, 5)
    for out in (coarse, fine):
        for gradient in torch.autograd.grad((out * torch.randn_like(out)).sum(), feats, retain_graph=True):
            assert gradient.flatten(1).any(1).all()


@pytest.mark.parametrize(
    'build, message',
    [
        (lambda: DeformableAttention(30, heads=4), r'channels \(30\) must be a multiple of heads \(4\)'),
        (lambda: DeformableEncoder((8,), channels=32, heads=3), r'channels \(32\) must be a multiple of heads \(3\)'),
        (lambda: DeformableEncoder((8,), channels=48), r'channels \(48\) must be a multiple of 32'),
    ],
)
def test_channels_that_cannot_be_shared_out_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_exported_graph_gives_the_same_for_any_batch():
    encoder = _encoder()
    feats = [torch.randn(2, 5, 2, 3), torch.randn(2, 3, 4, 5)]
    batch = torch.export.Dim('batch', min=1, max=64)
    graph = torch.export.export(encoder, (feats,), dynamic_shapes=([{0: batch}, {0: batch}],)).module()
    more = [torch.randn(3, 5, 2, 3), torch.randn(3, 3, 4, 5)]
    for ours, theirs in zip(encoder(more), graph(more), strict=True):
        torch.testing.assert_close(theirs, ours)
