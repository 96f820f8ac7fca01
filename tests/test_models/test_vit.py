"""ViTEncoder is mmpretrain's ViT: the same parameters, the same numbers, slots between groups, and a pyramid."""

import pytest
import torch
import torch.nn.functional as F
from by_hand import randomize
from torch import nn

from mgfe_ris.models.encoders import ViTEncoder
from mgfe_ris.models.encoders.mmpretrain_backbones import VisionTransformer

SMALL = dict(
    arch=dict(embed_dims=8, num_layers=8, num_heads=2, feedforward_channels=12), img_size=(48, 80), patch_size=16
)
SIZES = [(48, 80), (64, 64), (50, 70), (45, 37), (16, 5)]
LAST = (1, 3, 5, 7)
OURS = ('out_norms.', 'pyramid.')


def pair(**kwargs):
    """mmpretrain's and ours with the same random weights, float64, eval mode."""
    kwargs = {**SMALL, **kwargs}
    stock = VisionTransformer(out_indices=LAST, out_type='featmap', final_norm=False, **kwargs).double()
    ours = randomize(ViTEncoder(**kwargs), 0.2)
    # mmpretrain's backbones return None from eval()
    stock.eval(), ours.eval()
    result = stock.load_state_dict(ours.state_dict(), strict=False)
    assert not result.missing_keys
    assert all(name.startswith(OURS) for name in result.unexpected_keys)
    return stock, ours


def photos(size):
    return torch.randn(2, 3, *size, dtype=torch.float64)


def feedback(v):
    return torch.cos(v).flip(1)


def seen(encoder, x, feedback=torch.zeros_like):
    """What the slot sees at each stage."""
    maps = []

    def fuse(i, v):
        maps.append(v)
        return v, feedback(v)

    encoder(x, fuse=fuse)
    return maps


def assert_same(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        assert b.std() > 0.01
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
def test_strides_are_4_to_32_rounded_up_and_16_at_the_slots(size):
    ours = pair()[1]
    expected = [(2, 8, -(-size[0] // s), -(-size[1] // s)) for s in (4, 8, 16, 32)]
    assert [tuple(out.shape) for out in ours(photos(size))] == expected
    assert [tuple(v.shape) for v in seen(ours, photos(size))] == [expected[2]] * 4


@pytest.mark.parametrize('kwargs', [{}, dict(with_cls_token=False), dict(pre_norm=True), dict(patch_size=8)], ids=str)
@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
def test_features_are_mmpretrains_before_norms_and_pyramid(size, kwargs):
    stock, ours = pair(**kwargs)
    x = photos(size)
    assert_same(seen(ours, x), stock(x))


def test_a_feedback_of_zero_is_the_encoder_without_a_slot():
    ours, x = pair()[1], photos((50, 70))
    assert_same(ours(x, fuse=lambda i, v: (v, torch.zeros_like(v))), ours(x))


@pytest.mark.parametrize('class_tokens', [1, 0])
def test_the_feedback_is_added_to_the_patches_that_go_on(class_tokens):
    """As a hook on the last block of each group of mmpretrain's own encoder adds it, the class token left out."""
    stock, ours = pair(with_cls_token=bool(class_tokens))
    expected = []

    def hook(module, args, output):
        patches = output[:, class_tokens:].transpose(1, 2)
        expected.append(patches.unflatten(2, (4, 5)))
        return torch.cat([output[:, :class_tokens], output[:, class_tokens:] + feedback(patches).transpose(1, 2)], 1)

    for i in LAST:
        stock.layers[i].register_forward_hook(hook)
    x = photos((50, 70))
    stock(x)
    assert_same(seen(ours, x, feedback), expected)


@pytest.mark.parametrize('stage', range(4))
def test_the_feedback_of_a_stage_changes_later_outs_only(stage):
    ours = pair()[1]
    x = photos((64, 64))
    plain = ours(x)
    fused = ours(x, fuse=lambda i, v: (v, feedback(v) * (i == stage)))
    # fused tokens are laid out anew, so that sums differ in their last bits
    assert [torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(fused, plain, strict=True)] == [
        i <= stage for i in range(4)
    ]


def test_out_is_normalised_and_brought_to_its_stride():
    ours = pair()[1]
    given = [torch.randn(2, 8, 3, 5, dtype=torch.float64) * 3 + 1 for _ in range(4)]
    outs = ours(photos((45, 75)), fuse=lambda i, v: (given[i], v))
    normed = []
    for v, norm in zip(given, ours.out_norms, strict=True):
        centred = v - v.mean(1, keepdim=True)
        x = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        normed.append(x * norm.weight[:, None, None] + norm.bias[:, None, None])
    first, norm, _, second = ours.pyramid.upsample_4x
    # batch norm that has seen nothing yet: weight and bias alone
    x = F.conv_transpose2d(normed[0], first.weight, first.bias, stride=2)
    x = x / (1 + 1e-5) ** 0.5 * norm.weight[:, None, None] + norm.bias[:, None, None]
    x = F.conv_transpose2d(F.gelu(x), second.weight, second.bias, stride=2)
    (up,) = ours.pyramid.upsample_2x
    # 45 x 75 pixels are 11.25 x 18.75 of stride 4: padding up to 48 x 80 is left out
    expected = [
        x[..., :12, :19],
        F.conv_transpose2d(normed[1], up.weight, up.bias, stride=2)[..., :6, :10],
        normed[2],
        # the maximum of 2 x 2; the last row and column have no neighbours
        torch.stack(
            [normed[3][..., i : i + 2, j : j + 2].amax((2, 3)) for i in (0, 2) for j in (0, 2, 4)], -1
        ).unflatten(-1, (2, 3)),
    ]
    assert_same(outs, expected)


def test_what_is_padded_is_at_the_right_and_the_bottom():
    ours = pair()[1]
    x = photos((45, 37))
    padded = F.pad(x, (0, 11, 0, 3))
    assert_same(
        ours(x), [out[..., :h, :w] for out, h, w in zip(ours(padded), (12, 6, 3, 2), (10, 5, 3, 2), strict=True)]
    )


def test_mmpretrains_files_load_at_another_size():
    kwargs = {**SMALL, 'img_size': 64}
    stock, ours = randomize(VisionTransformer(**kwargs)).float(), ViTEncoder(**{**kwargs, 'img_size': 96})
    result = ours.load_state_dict(stock.state_dict(), strict=False)
    assert all(name.startswith(OURS) for name in result.missing_keys)
    assert result.unexpected_keys == ['ln1.weight', 'ln1.bias']
    assert ours.pos_embed.shape == (1, 1 + 6 * 6, 8)
    assert torch.equal(ours.layers[7].attn.qkv.weight, stock.layers[7].attn.qkv.weight)


def test_every_parameter_learns():
    encoder = ViTEncoder(**SMALL, drop_path_rate=0.1)
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in encoder.modules())
    encoder.init_weights()
    outs = encoder(torch.randn(4, 3, 50, 70), fuse=lambda i, v: (v, v))
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]


@pytest.mark.parametrize(
    'kwargs',
    [dict(out_indices=(3,)), dict(out_type='raw'), dict(final_norm=True), dict(patch_cfg=dict(stride=4))],
    ids=str,
)
def test_what_is_not_heeded_is_refused(kwargs):
    ((name, value),) = kwargs.items()
    with pytest.raises(ValueError) as error:
        ViTEncoder(**SMALL, **kwargs)
    assert f'{name}={value}' in str(error.value)


def test_blocks_that_make_no_four_groups_are_refused():
    with pytest.raises(ValueError, match='4 equal groups of blocks; got 6 blocks'):
        ViTEncoder(arch={**SMALL['arch'], 'num_layers': 6})
