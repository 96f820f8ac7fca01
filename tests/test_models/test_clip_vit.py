"""CLIP's ViT: against numbers recorded from the official code, against Hugging Face's, and as an encoder."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from by_hand import randomize
from slow import slow
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.clip_checkpoints import from_clip_vit
from mgfe_ris.models.encoders import CLIPViTEncoder
from mgfe_ris.models.encoders.position_table import resize_position_table

SHARED = Path(__file__).parents[3] / 'shared/fixtures'
RECORDS = sorted([*SHARED.glob('etris*.pt'), *SHARED.glob('barleria*.pt')])
SMALL = dict(width=16, depth=4, patch_size=8, grid=3, head_channels=8)
B16 = dict(width=768, depth=12, patch_size=16, grid=14, projection_channels=512)


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/{{etris,barleria}}*.pt')
    record = torch.load(request.param, weights_only=True)
    if 'backbone.visual.class_embedding' not in record['state_dict']:
        pytest.skip("this record's image tower is no ViT")
    return record


def tower(record: dict) -> CLIPViTEncoder:
    """The record's, its weights read by their names; all others are accounted for."""
    state = from_clip_vit(dict(state_dict={f'module.{k}': v for k, v in record['state_dict'].items()}))
    sizes, (width, _, _, patch) = record['config'], state['conv1.weight'].shape
    encoder = CLIPViTEncoder(
        width,
        sum(name.endswith('ln_1.weight') for name in state),
        patch,
        round((len(state['positional_embedding']) - 1) ** 0.5),
        state['proj'].shape[1],
        sizes['head'] if 'head' in sizes else width // sizes['vision_heads'],
    )
    assert not differences(state, encoder.state_dict())
    encoder.load_state_dict(state)
    return encoder.double().eval()


@torch.no_grad()
def test_recorded_tokens_up_to_the_first_bridge(record):
    """After it, ETRIS's tokens are CLIP's no more; and BarLeRIa's flows stand inside of every block."""
    if 'vit_ln_pre' not in record['features']:
        tower(record)
        pytest.skip('its weights are read; this record has no tokens of CLIP alone')
    encoder = tower(record)
    x = encoder.embed(record['inputs']['image'])
    torch.testing.assert_close(x, record['features']['vit_ln_pre'], rtol=0, atol=1e-12)
    for block in encoder.blocks[: len(encoder.blocks) // 3]:
        x = block(x)
    torch.testing.assert_close(x, record['features']['vit_block3'].transpose(0, 1), rtol=0, atol=1e-12)


def test_recorded_table_of_positions(record):
    if 'clip' in record:
        table, expected = (record['clip'][f'positional_embedding{name}'] for name in ('', '_resized'))
    else:
        table, expected = (record['loading'][name] for name in ('clip_visual_positional_embedding', 'resized'))
    side = round((len(expected) - 1) ** 0.5)
    resized = resize_position_table(table.float(), (side, side))  # single, as the official code has it
    torch.testing.assert_close(resized, expected.float(), rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(
    'sizes',
    [
        dict(width=32, depth=4, patch_size=8, grid=3, projection_channels=12),
        pytest.param(B16, marks=slow('a model of full size in double precision')),
    ],
    ids=['small', 'B16'],
)
def test_every_block_is_that_of_hugging_face(sizes):
    heads = max(1, sizes['width'] // 64)
    side = sizes['grid'] * sizes['patch_size']
    config = CLIPVisionConfig(
        hidden_size=sizes['width'],
        num_hidden_layers=sizes['depth'],
        num_attention_heads=heads,
        intermediate_size=4 * sizes['width'],
        image_size=side,
        patch_size=sizes['patch_size'],
        projection_dim=sizes['projection_channels'],
    )
    theirs = CLIPVisionModelWithProjection(config).double().eval()
    for value in theirs.parameters():
        value.add_(0.02 * torch.randn_like(value))  # norms and biases, too
    ours = CLIPViTEncoder(**sizes, head_channels=sizes['width'] // heads)
    state = from_clip_vit(theirs.state_dict())
    assert not differences(state, ours.state_dict())
    ours.double().load_state_dict(state)
    photos = torch.randn(2, 3, side, side, dtype=torch.float64)
    expected = theirs(pixel_values=photos, output_hidden_states=True).hidden_states
    x = ours.embed(photos)
    torch.testing.assert_close(x, expected[0], rtol=0, atol=1e-10)
    for block, layer in zip(ours.blocks, expected[1:], strict=True):
        x = block(x)
        torch.testing.assert_close(x, layer, rtol=0, atol=1e-10)
    projected = theirs.visual_projection(theirs.vision_model.post_layernorm(expected[-1][:, 1:]))
    torch.testing.assert_close(ours.project(x).flatten(2).transpose(1, 2), projected, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours(photos)[-1], ours.project(x), rtol=0, atol=0)


def test_resized_table_keeps_the_class_token_and_the_rows_of_a_square():
    table = torch.randn(10, 4)
    assert resize_position_table(table, (3, 3)) is table
    wide = resize_position_table(table, (3, 5))
    assert wide.shape == (16, 4) and torch.equal(wide[0], table[0])
    grid = table[1:].view(3, 3, 4).permute(2, 0, 1)[None]
    expected = F.interpolate(grid, (3, 5), mode='bicubic', align_corners=False)[0]
    torch.testing.assert_close(wide[1:].T.view(4, 3, 5), expected)
    with pytest.raises(ValueError, match=r'has 11 rows; expected 1 \+ g\^2'):
        resize_position_table(torch.randn(11, 4), (3, 3))


@pytest.mark.parametrize('size', [(24, 24), (32, 24), (19, 13)], ids=str)
def test_maps_of_photos_of_any_size(size):
    """Padding at the right and the bottom counts as whole patches, and is left out of the finer maps."""
    photos, (h, w) = torch.randn(2, 3, *size), (-(-side // 8) for side in size)
    encoder, plain = CLIPViTEncoder(**SMALL).eval(), CLIPViTEncoder(**SMALL, projection_channels=5).eval()
    fine, coarse = [tuple(-(-side // stride) for side in size) for stride in (2, 4)], (-(-h // 2), -(-w // 2))
    assert [tuple(out.shape) for out in encoder(photos)] == [(2, 16, *s) for s in (*fine, (h, w), coarse)]
    assert [tuple(out.shape) for out in plain(photos)] == [*[(2, 16, h, w)] * 3, (2, 5, h, w)]
    assert plain.out_channels == (16, 16, 16, 5)
    padded = F.pad(photos, (0, w * 8 - size[1], 0, h * 8 - size[0]))
    torch.testing.assert_close(plain(photos)[-1], plain(padded)[-1], rtol=0, atol=0)


@torch.no_grad()
def test_the_feedback_is_added_to_the_patches_that_go_on():
    encoder = randomize(CLIPViTEncoder(**SMALL, projection_channels=5), 0.2)
    photos, seen = torch.randn(2, 3, 24, 32, dtype=torch.float64), []

    def fuse(i, v):
        seen.append(v)
        return v * 2, torch.cos(v)

    outs = encoder(photos, fuse)
    x, outs_by_hand = encoder.embed(photos), []
    for block, v in zip(encoder.blocks, seen, strict=True):
        x = block(x)
        torch.testing.assert_close(v.flatten(2).transpose(1, 2), x[:, 1:])
        outs_by_hand.append(v * 2)
        last = torch.cat([x[:, :1], 2 * x[:, 1:]], 1)
        x = torch.cat([x[:, :1], x[:, 1:] + torch.cos(x[:, 1:])], 1)
    for out, expected in zip(outs, [*outs_by_hand[:-1], encoder.project(last, (3, 4))], strict=True):
        torch.testing.assert_close(out, expected)
    assert not torch.allclose(encoder(photos)[1], outs[1] / 2)


def test_one_photo_and_several_sentences():
    encoder, photo = CLIPViTEncoder(**SMALL).eval(), torch.randn(1, 3, 24, 24)
    feedback = torch.randn(3, 16, 3, 3)
    outs = encoder(photo, lambda i, v: (v + feedback, feedback))
    each = [encoder(photo, lambda i, v, one=one: (v + one, one))[3] for one in feedback.split(1)]
    torch.testing.assert_close(outs[3], torch.cat(each))


def test_every_parameter_learns():
    for projection in (None, 5):
        encoder = CLIPViTEncoder(**SMALL, projection_channels=projection)
        outs = encoder(torch.randn(2, 3, 24, 40), lambda i, v: (v, v))
        sum((out * torch.randn_like(out)).sum() for out in outs).backward()
        assert not [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match='4 equal groups of blocks; got 6 blocks'):
        CLIPViTEncoder(**{**SMALL, 'depth': 6})
    with pytest.raises(ValueError, match='a width of 16 is no multiple of head_channels=5'):
        CLIPViTEncoder(**{**SMALL, 'head_channels': 5})
