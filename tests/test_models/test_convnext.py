"""ConvNeXtEncoder is mmpretrain's ConvNeXt: the same parameters, the same numbers, and a slot between the stages."""

import pytest
import torch
from by_hand import randomize

from mgfe_ris.models.encoders import ConvNeXtEncoder
from mgfe_ris.models.encoders.mmpretrain_backbones import ConvNeXt

SMALL = dict(arch=dict(depths=(1, 2, 1, 1), channels=(4, 6, 8, 10)), layer_scale_init_value=0.5)
SIZES = [(64, 64), (50, 70), (45, 37)]


def pair(**kwargs):
    """mmpretrain's and ours with the same random weights, float64, eval mode."""
    kwargs = {**SMALL, **kwargs}
    stock = randomize(ConvNeXt(out_indices=(0, 1, 2, 3), gap_before_final_norm=False, **kwargs), 0.2)
    ours = ConvNeXtEncoder(**kwargs).double()
    ours.load_state_dict(stock.state_dict(), strict=True)
    # mmpretrain's backbones return None from eval()
    stock.eval(), ours.eval()
    return stock, ours


def photos(size):
    return torch.randn(2, 3, *size, dtype=torch.float64)


def feedback(v):
    return torch.cos(v).flip(1)


def assert_same(ours, expected):
    for a, b in zip(ours, expected, strict=True):
        assert b.std() > 0.01
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
def test_strides_are_4_to_32_rounded_down(size):
    calls = []
    outs = pair()[1](photos(size), fuse=lambda i, v: calls.append((i, v.shape)) or (v, v))
    shapes = [
        (2, channels, size[0] // s, size[1] // s) for channels, s in zip((4, 6, 8, 10), (4, 8, 16, 32), strict=True)
    ]
    assert [tuple(out.shape) for out in outs] == shapes
    assert calls == list(enumerate(shapes))


@pytest.mark.parametrize('kwargs', [{}, dict(use_grn=True, layer_scale_init_value=0.0), dict(linear_pw_conv=False)])
@pytest.mark.parametrize('size', SIZES, ids='size={}'.format)
def test_features_are_mmpretrains(size, kwargs):
    stock, ours = pair(**kwargs)
    x = photos(size)
    assert_same(ours(x), stock(x))
    assert_same(ours(x, fuse=lambda i, v: (v, torch.zeros_like(v))), stock(x))


def test_the_feedback_is_added_before_the_next_stage():
    """As a hook on each stage of mmpretrain's own encoder adds it."""
    stock, ours = pair()
    x = photos((50, 70))
    for stage in stock.stages:
        stage.register_forward_hook(lambda module, args, output: output + feedback(output))
    assert_same(ours(x, fuse=lambda i, v: (v + feedback(v), feedback(v))), stock(x))


@pytest.mark.parametrize('stage', range(4))
def test_the_feedback_of_a_stage_changes_later_outs_only(stage):
    ours = pair()[1]
    x = photos((64, 64))
    plain = ours(x)
    fused = ours(x, fuse=lambda i, v: (v, feedback(v) * (i == stage)))
    assert [torch.equal(a, b) for a, b in zip(fused, plain, strict=True)] == [i <= stage for i in range(4)]


def test_out_goes_through_the_stages_norm_to_the_decoder_alone():
    ours = pair()[1]
    x = photos((64, 64))
    plain = ours(x)
    given = [torch.randn_like(out) * 3 + 1 for out in plain]
    seen = []

    def fuse(i, v):
        seen.append(v)
        return given[i], torch.zeros_like(v)

    outs = ours(x, fuse=fuse)
    for i, v in enumerate(given):
        norm = getattr(ours, f'norm{i}')
        centred = v - v.mean(1, keepdim=True)
        expected = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
        expected = expected * norm.weight[:, None, None] + norm.bias[:, None, None]
        torch.testing.assert_close(outs[i], expected, rtol=0, atol=1e-10)
        # what goes on is v, not out
        torch.testing.assert_close(norm(seen[i]), plain[i], rtol=0, atol=1e-10)


@pytest.mark.parametrize('init_cfg', [None, dict(type='Normal', layer='Conv2d', std=0.5)], ids=['default', 'given'])
def test_random_weights_are_mmpretrains_unless_asked_for_others(init_cfg):
    encoder = ConvNeXtEncoder(arch='atto', init_cfg=init_cfg)
    encoder.init_weights()
    std = encoder.downsample_layers[3][1].weight.std().item()
    assert std == pytest.approx(0.02 if init_cfg is None else 0.5, rel=0.1)


def test_every_parameter_learns():
    encoder = ConvNeXtEncoder(**SMALL)
    encoder.init_weights()
    sum(out.cos().sum() for out in encoder(torch.randn(2, 3, 64, 64), fuse=lambda i, v: (v, v))).backward()
    assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]


@pytest.mark.parametrize('kwargs', [dict(out_indices=(3,)), dict(gap_before_final_norm=True)], ids=str)
def test_what_is_not_heeded_is_refused(kwargs):
    (name, value), *_ = kwargs.items()
    with pytest.raises(ValueError) as error:
        ConvNeXtEncoder(**SMALL, **kwargs)
    assert f'{name}={value}' in str(error.value)
