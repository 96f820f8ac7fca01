"""The slot for language, which every visual encoder offers after each of its stages (design 2)."""

import numpy as np
import pytest
import torch
from by_hand import array, randomize
from mmseg.models.backbones import ResNet, SwinTransformer

from mgfe_ris.models.encoders import ConvNeXtEncoder, ResNetEncoder, SwinEncoder, ViTEncoder

SWIN = dict(embed_dims=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 4), window_size=4, drop_path_rate=0.0)
RESNET = dict(depth=18, stem_channels=8, base_channels=8, norm_eval=False)
CONVNEXT = dict(arch=dict(depths=(1, 1, 1, 1), channels=(4, 6, 8, 10)))
VIT = dict(
    arch=dict(embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=12), img_size=(48, 80), patch_size=16
)
# 50 x 70: divided neither by patches nor by windows nor by the strides
SIZES = [(8, 13, 18), (16, 7, 9), (32, 4, 5), (64, 2, 3)]


def last_blocks(stock):
    """The module of each stage whose output the slot sees."""
    if isinstance(stock, SwinTransformer):
        return [stage.blocks[-1] for stage in stock.stages]
    return [getattr(stock, name) for name in stock.res_layers]


def as_map(x, shape):
    return x if x.ndim == 4 else x.transpose(1, 2).unflatten(2, shape[1:])


def as_it_was(x, like):
    return x if like.ndim == 4 else x.flatten(2).transpose(1, 2)


@pytest.fixture(params=[(SwinEncoder, SwinTransformer, SWIN), (ResNetEncoder, ResNet, RESNET)])
def pair(request):
    """Our encoder and mmseg's with the same weights, float64, eval mode."""
    ours, stock, kwargs = request.param
    ours, stock = randomize(ours(**kwargs), 0.2), stock(**kwargs).double()
    # mmseg's backbones return None from eval()
    ours.eval(), stock.eval()
    foreign = stock.load_state_dict(ours.state_dict(), strict=False)
    assert all('out_norms' in key for key in foreign.unexpected_keys)
    assert all(key.endswith('relative_position_index') for key in foreign.missing_keys)
    return ours, stock


@pytest.fixture
def photos():
    return torch.randn(2, 3, 50, 70, dtype=torch.float64)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_the_slot_is_called_once_per_stage_in_order_with_maps(pair, photos):
    calls = []

    def fuse(i, v):
        calls.append((i, tuple(v.shape)))
        return v, v

    outs = pair[0](photos, fuse=fuse)
    assert calls == [(i, (2, *size)) for i, size in enumerate(SIZES)]
    assert [tuple(out.shape) for out in outs] == [(2, *size) for size in SIZES]


def test_a_feedback_of_zero_is_the_encoder_without_a_slot(pair, photos):
    plain = pair[0](photos)
    fused = pair[0](photos, fuse=lambda i, v: (v, torch.zeros_like(v)))
    for a, b in zip(fused, plain, strict=True):
        close(a, b)


def test_the_feedback_is_added_to_what_goes_on(pair, photos):
    """As a hook on the last block of each stage of mmseg's own encoder adds it."""
    ours, stock = pair
    seen, expected = [], []

    def feedback(v):
        return torch.cos(v).flip(1)

    def fuse(i, v):
        seen.append(v)
        return v, feedback(v)

    def hook(size):
        def add(module, args, output):
            v = as_map(output, size)
            expected.append(v)
            return output + as_it_was(feedback(v), output)

        return add

    for block, size in zip(last_blocks(stock), SIZES, strict=True):
        block.register_forward_hook(hook(size))
    stock(photos)
    ours(photos, fuse=fuse)
    for a, b in zip(seen, expected, strict=True):
        assert b.std() > 0.01
        close(a, b)


def test_what_the_slot_returns_is_normalised_for_the_decoder(pair, photos):
    ours = pair[0]
    norms = ours.out_norms if isinstance(ours, ResNetEncoder) else [ours.norm0, ours.norm1, ours.norm2, ours.norm3]
    # Swin: over the channels of a pixel; ResNet: over the whole map
    axes = (1, 2, 3) if isinstance(ours, ResNetEncoder) else (1,)
    given = [torch.randn(2, *size, dtype=torch.float64) * 3 + 1 for size in SIZES]
    outs = ours(photos, fuse=lambda i, v: (given[i], v))
    for out, x, norm in zip(outs, map(array, given), norms, strict=True):
        x = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)
        weight, bias = (array(value)[:, None, None] for value in (norm.weight, norm.bias))
        close(out, torch.from_numpy(x * weight + bias))


def test_gradients_flow_through_the_slot_to_each_stage_and_to_language(pair, photos):
    ours = pair[0]
    language = [torch.zeros(1, size[0], 1, 1, dtype=torch.float64).requires_grad_() for size in SIZES]
    ours(photos, fuse=lambda i, v: (v, v + language[i]))[-1].square().sum().backward()
    # what the last stage feeds back goes nowhere
    assert [x.grad is not None and bool(x.grad.abs().max() > 0) for x in language] == [True] * 3 + [False]
    assert next(ours.parameters()).grad.abs().max() > 0


# One photo, several sentences


@pytest.mark.parametrize(
    ('encoder', 'kwargs'),
    [
        (SwinEncoder, SWIN),
        (ResNetEncoder, RESNET),
        (ConvNeXtEncoder, CONVNEXT),
        (ViTEncoder, VIT),
    ],
)
def test_a_photo_grows_to_its_sentences_at_the_first_slot(encoder, kwargs, photos):
    encoder = randomize(encoder(**kwargs), 0.2)
    encoder.eval()
    language = [None] * 4
    batches = []

    def fuse(i, v):
        batches.append(len(v))
        if language[i] is None:
            language[i] = torch.randn(3, *v.shape[1:], dtype=v.dtype)
        return v * language[i], language[i]

    shared = encoder(photos[:1], fuse=fuse)
    repeated = encoder(photos[:1].expand(3, -1, -1, -1), fuse=fuse)
    assert batches == [1, 3, 3, 3] + [3] * 4
    for a, b in zip(shared, repeated, strict=True):
        assert a.shape[0] == 3
        close(a, b)
