"""SwinEncoder is mmseg's Swin: the same parameters, the same numbers, the same checkpoints."""

import pytest
import torch
from by_hand import randomize
from mmseg.models.backbones import SwinTransformer

from mgfe_ris.models.checkpoints import from_swin
from mgfe_ris.models.encoders import SwinEncoder
from mgfe_ris.models.encoders.window_attention import FusedWindowAttention

SMALL = dict(embed_dims=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4), drop_path_rate=0.0)


def pair(**kwargs):
    """mmseg's and ours with the same random weights, float64, in training mode."""
    stock = randomize(SwinTransformer(**{**SMALL, **kwargs}), 0.2)
    ours = SwinEncoder(**{**SMALL, **kwargs}).double()
    ours.load_state_dict(from_swin(stock.state_dict()), strict=True)
    return stock, ours


def photos(size=(50, 70), batch=2):
    return torch.randn(batch, 3, *size, dtype=torch.float64)


def assert_same(a, b, atol=1e-10):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=atol)


def assert_same_in_training(stock, ours, x):
    results = []
    for model in (stock, ours):
        torch.manual_seed(1)  # the same drop path
        model.train()
        results.append(model(x))
    assert_same(*results)


def test_parameter_names_and_shapes_are_mmsegs():
    stock, ours = ({name: value.shape for name, value in model.named_parameters()} for model in pair())
    assert ours == stock


def test_stages_that_are_not_asked_for_have_no_norm():
    stock, ours = pair(out_indices=(1, 3))
    assert {name: value.shape for name, value in ours.named_parameters()} == {
        name: value.shape for name, value in stock.named_parameters()
    }
    stock.eval(), ours.eval()
    x = photos()
    assert_same(ours(x), stock(x))
    assert ours.out_channels == tuple(x.shape[1] for x in ours(x)) == (16, 64)


@pytest.mark.parametrize('batch', [1, 2], ids='batch={}'.format)
@pytest.mark.parametrize('window_size', [4, 7], ids='window={}'.format)
@pytest.mark.parametrize('size', [(50, 70), (64, 64), (33, 5)], ids='size={}'.format)
def test_features_are_mmsegs(size, window_size, batch):
    stock, ours = pair(window_size=window_size)
    x = photos(size, batch)
    stock.eval(), ours.eval()
    assert_same(ours(x), stock(x))
    with torch.no_grad():  # a CPU takes its fused kernel for attention here alone
        assert_same(ours(x), stock(x))
        assert_same(ours.float()(x.float()), stock.float()(x.float()), atol=1e-5)


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(qkv_bias=False),
        dict(qk_scale=0.3),
        dict(patch_norm=False),
        dict(with_cp=True),
        dict(frozen_stages=1),
        dict(drop_path_rate=0.5),
    ],
    ids=str,
)
def test_features_in_training_are_mmsegs_with_other_arguments(kwargs):
    stock, ours = pair(**kwargs)
    assert_same_in_training(stock, ours, photos())


def test_gradients_are_mmsegs():
    stock, ours = pair(window_size=4)
    x = photos()
    for model in (stock, ours):
        sum(out.square().sum() for out in model(x)).backward()
    for (name, a), b in zip(ours.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9, msg=name)


def test_one_encoder_serves_sizes_in_turn():
    stock, ours = pair(window_size=4)
    for size in ((50, 70), (70, 50), (32, 32), (50, 70)):
        x = photos(size, batch=1)
        assert_same(ours(x), stock(x))


@pytest.mark.parametrize('size', [(8, 8), (4, 4), (7, 10), (3, 9)], ids='size={}'.format)
@pytest.mark.parametrize('shift', [0, 2], ids='shift={}'.format)
def test_a_pixel_is_read_by_the_pixels_of_its_window_and_no_other(size, shift):
    """Windows tile the map from -shift on; no pixel reads one from the opposite border."""
    window = 4
    stock = SwinEncoder(**SMALL, window_size=window).stages[0].blocks[0].attn
    attention = FusedWindowAttention(8, 1, window, shift_size=shift)
    attention = randomize(FusedWindowAttention.like(attention))
    assert type(stock) is FusedWindowAttention
    height, width = size
    x = torch.randn(1, height * width, 8, dtype=torch.float64)
    before = attention(x, size)
    places = [((y - shift) // window, (z - shift) // window) for y in range(height) for z in range(width)]
    for i, place in enumerate(places):
        changed = x.clone()
        changed[:, i] += 1
        read = (attention(changed, size) - before).abs().amax(dim=(0, 2)) > 1e-12
        assert read.tolist() == [other == place for other in places]


def test_masks_cached_in_inference_serve_training():
    ours = SwinEncoder(**SMALL, window_size=4)
    x = photos().float()
    with torch.inference_mode():
        ours(x)
    sum(out.sum() for out in ours(x)).backward()


# Checkpoints


SLOPES = torch.tensor([0.02, -0.03, 0.04, -0.05])


def position_tables(encoder):
    state = encoder.state_dict()
    return [state[name] for name in state if name.endswith('relative_position_bias_table')]


def checkpoint(folder, drop=()):
    """The file of an mmseg segmentor with a random Swin, window 7, in it; and the Swin."""
    stock = randomize(SwinTransformer(**SMALL), 0.2).float()
    for table in position_tables(stock):
        rows = torch.arange(13.0)[:, None, None].expand(13, 13, table.shape[1])
        table.copy_(rows.flatten(0, 1) * SLOPES[: table.shape[1]])
    state = {f'backbone.{k}': v for k, v in stock.state_dict().items() if not k.endswith(drop)}
    torch.save(dict(state_dict=state), folder / 'swin.pth')
    return dict(type='Pretrained', checkpoint=str(folder / 'swin.pth')), stock


def test_an_mmseg_checkpoint_loads(tmp_path):
    init_cfg, stock = checkpoint(tmp_path)
    ours = SwinEncoder(**SMALL, init_cfg=init_cfg)
    ours.init_weights()
    x = photos().float()
    assert_same(ours(x), stock(x), atol=1e-5)


def cubic(t):
    """The kernel of bicubic interpolation, a = -0.75 as in OpenCV and torch."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0


def assert_loads_into_another_window(init_cfg, stock):
    """From 7 to 5: tables of 13 x 13 places, rising from row to row, become tables of 9 x 9."""
    ours = SwinEncoder(**{**SMALL, 'window_size': 5}, init_cfg=init_cfg)
    ours.init_weights()
    places = [(i + 0.5) * 13 / 9 - 0.5 for i in range(9)]
    rows = [sum(cubic(place - j) * min(max(j, 0), 12) for j in range(-2, 15)) for place in places]
    for table in position_tables(ours):
        expected = torch.tensor(rows)[:, None, None] * SLOPES[: table.shape[1]]
        torch.testing.assert_close(table.view(9, 9, -1), expected.expand(9, 9, -1), rtol=0, atol=1e-6)
    for (name, a), b in zip(ours.named_parameters(), stock.parameters(), strict=True):
        assert name.endswith('relative_position_bias_table') or torch.equal(a, b), name


def test_position_tables_are_interpolated_for_another_window(tmp_path):
    assert_loads_into_another_window(*checkpoint(tmp_path, drop='relative_position_index'))


def test_a_whole_mmseg_checkpoint_loads_into_another_window(tmp_path):
    assert_loads_into_another_window(*checkpoint(tmp_path))


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(drop_rate=0.5),
        dict(attn_drop_rate=0.5),
        dict(use_abs_pos_embed=True, pretrain_img_size=64),
    ],
    ids=str,
)
def test_an_argument_of_mmsegs_swin_that_is_not_heeded_is_refused(kwargs):
    with pytest.raises(ValueError, match=f'does not offer {next(iter(kwargs))}'):
        SwinEncoder(**SMALL, **kwargs)
