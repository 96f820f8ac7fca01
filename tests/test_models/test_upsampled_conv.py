"""UpsampledConv: the same as up-sampling, concatenating and convolving."""

import pytest
import torch
import torch.nn.functional as F

from mgfe_ris.models import upsampled_conv
from mgfe_ris.models.upsampled_conv import UpsampledConv


def plain(conv, x, skip):
    x = F.interpolate(x, skip.shape[2:], mode='bilinear', align_corners=True)
    return F.conv2d(torch.cat([x, skip], dim=1), conv.weight, conv.bias, padding=1)


@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('batch', [1, 3])
@pytest.mark.parametrize(
    ('small', 'large'), [((4, 5), (8, 10)), ((4, 5), (7, 11)), ((1, 1), (3, 2)), ((3, 4), (3, 4)), ((5, 6), (4, 2))]
)
def test_values_and_gradients_are_those_of_the_plain_computation(small, large, batch, bias):
    conv = UpsampledConv(26, 4, 3, padding=1, bias=bias).double()
    x, skip = (torch.randn(batch, c, *size, dtype=torch.float64) for c, size in ((24, small), (2, large)))
    x, skip = x.requires_grad_(), skip.requires_grad_()
    weight = torch.randn(batch, 4, *large, dtype=torch.float64)
    results = []
    for forward in (plain, lambda conv, *maps: conv(maps)):
        out = forward(conv, x, skip)
        results.append((out, *torch.autograd.grad((out * weight).sum(), (x, skip, *conv.parameters()))))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(('side', 'fast'), [(4, True), (5, False)])
def test_on_maps_that_are_large_for_their_channels_the_plain_computation_runs(side, fast, monkeypatch):
    conv = UpsampledConv(18, 4)
    called = []
    monkeypatch.setattr(upsampled_conv, '_upsample_and_convolve', lambda *args: called.append(args) or torch.zeros(1))
    x, skip = torch.randn(1, 16, 3, side), torch.randn(1, 2, 6, 2 * side)
    out = conv((x, skip))
    assert bool(called) == fast
    if not fast:
        torch.testing.assert_close(out, plain(conv, x, skip))


def test_rounding_is_that_of_float32():
    conv = UpsampledConv(84, 32, bias=False)
    x, skip = torch.randn(1, 60, 15, 15), torch.randn(1, 24, 30, 30)
    with torch.no_grad():
        exact = plain(conv.double(), x.double(), skip.double())
        ours, theirs = (conv.float()((x, skip)) - exact).abs().max(), (plain(conv, x, skip) - exact).abs().max()
    assert ours < 2e-6 and theirs < 2e-6, 'both are rounding'


def test_what_is_made_in_inference_serves_training():
    conv, maps = UpsampledConv(26, 4), (torch.randn(1, 24, 6, 6), torch.randn(1, 2, 13, 13))
    with torch.inference_mode():
        conv(maps)
    conv(maps).sum().backward()
    assert conv.weight.grad is not None


def test_layouts_of_memory():
    conv = UpsampledConv(18, 4)
    x, skip = torch.randn(2, 16, 4, 4), torch.randn(2, 2, 8, 8)
    last = [m.to(memory_format=torch.channels_last) for m in (x, skip)]
    with torch.no_grad():
        torch.testing.assert_close(conv(tuple(last)), conv((x, skip)), rtol=0, atol=1e-6)


@pytest.mark.parametrize('kwargs', [dict(kernel_size=5), dict(stride=2), dict(padding=0), dict(dilation=2)])
def test_no_other_kernel(kwargs):
    with pytest.raises(ValueError, match='3 x 3 with padding 1; got'):
        UpsampledConv(5, 4, **kwargs)
