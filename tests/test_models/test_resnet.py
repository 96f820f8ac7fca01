"""ResNetEncoder: strides, the map of positions, and mmseg's ResNet underneath."""

import pytest
import torch
from by_hand import randomize
from mmseg.models.backbones import ResNet

from mgfe_ris.models.encoders import ResNetEncoder

SMALL = dict(depth=18, stem_channels=8, base_channels=4)


def photos(*size):
    return torch.randn(2, 3, *size)


def seen(encoder, x):
    """What the slot sees at each stage."""
    maps = []

    def fuse(i, v):
        maps.append(v)
        return v, torch.zeros_like(v)

    encoder.eval()
    encoder(x, fuse=fuse)
    return maps


@pytest.mark.parametrize(('max_pool', 'strides'), [(True, (4, 8, 16, 32)), (False, (2, 4, 8, 16))])
@pytest.mark.parametrize('size', [(64, 64), (45, 37)], ids='size={}'.format)
def test_strides_with_and_without_the_pool(max_pool, strides, size):
    outs = ResNetEncoder(**SMALL, max_pool=max_pool)(photos(*size))
    expected = [tuple(-(-side // stride) for side in size) for stride in strides]
    assert [tuple(out.shape[2:]) for out in outs] == expected


@pytest.mark.parametrize('depth', [18, 50])
@pytest.mark.parametrize('deep_stem', [False, True])
def test_features_are_mmsegs_before_the_norms(depth, deep_stem):
    kwargs = {**SMALL, 'depth': depth, 'deep_stem': deep_stem}
    ours, stock = randomize(ResNetEncoder(**kwargs), 0.2), ResNet(**kwargs).double()
    stock.eval()
    result = stock.load_state_dict(ours.state_dict(), strict=False)
    assert not result.missing_keys
    assert all(name.startswith('out_norms') for name in result.unexpected_keys)
    x = photos(45, 37).double()
    for a, b in zip(seen(ours, x), stock(x), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def spread(encoder):
    """Range over the pixels far from the borders, of stage 0 for a photo of one colour."""
    inside = seen(encoder, torch.ones(1, 3, 96, 96))[0][..., 9:-9, 9:-9]
    return (inside.amax((2, 3)) - inside.amin((2, 3))).max()


def test_the_position_map_tells_places_apart_and_a_convolution_alone_does_not():
    plain, mapped = ResNetEncoder(**SMALL), ResNetEncoder(**SMALL, position_map=(5, 3))
    mapped.load_state_dict(plain.state_dict(), strict=False)
    assert spread(plain) < 1e-5
    mapped.init_weights()
    assert spread(mapped) > 1e-3


def test_stages_that_are_not_asked_for_have_no_norm():
    every, two = ResNetEncoder(**SMALL), ResNetEncoder(**SMALL, out_indices=(1, 3))
    every.eval(), two.eval()
    two.load_state_dict(
        {k: v for k, v in every.state_dict().items() if not k.startswith(('out_norms.0', 'out_norms.2'))}
    )
    x = photos(64, 64)
    with torch.no_grad():
        for ours, expected in zip(two(x), (every(x)[i] for i in (1, 3)), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert two.out_channels == (8, 32)


def test_the_position_map_is_stretched_to_the_map():
    encoder = ResNetEncoder(**SMALL, position_map=(1, 3))
    with torch.no_grad():
        encoder.position_map[:] = torch.tensor([0.0, 10.0, 20.0])
    added = []
    encoder.layer1.register_forward_pre_hook(lambda module, args: added.append(args[0]))
    encoder.eval()
    encoder(torch.zeros(1, 3, 32, 84))
    # a black photo leaves the stem at 0: the map is all there is, corner on corner
    expected = torch.linspace(0, 20, 21).expand(1, 8, 8, 21)
    torch.testing.assert_close(added[0], expected, rtol=0, atol=1e-4)


def test_the_position_map_learns():
    encoder = ResNetEncoder(**SMALL, position_map=(4, 4))
    encoder.init_weights()
    encoder(photos(32, 32))[-1].square().sum().backward()
    assert encoder.position_map.grad.abs().max() > 0
    assert encoder.position_map.std().item() == pytest.approx(0.02, rel=0.3)
