"""ETRIS against numbers recorded from its official code, with CLIP's residual network and with its transformer."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import MultiStepLR, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch import Tensor

import mgfe_ris.models.pixel_decoder
from mgfe_ris.apis import RISInferencer, build_model, input_size, load_config
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.losses import BinaryCrossEntropy
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared/fixtures'
RECORDS = sorted(SHARED.glob('etris*.pt'))
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


@pytest.fixture
def project(monkeypatch) -> Path:
    monkeypatch.syspath_prepend(ROOT / 'projects/etris')
    return ROOT / 'projects/etris'


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/etris*.pt')
    return torch.load(request.param, weights_only=True)


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, in float64."""
    import etris
    import etris_checkpoints

    init_default_scope('mmseg')
    sizes = record['config']
    model = MODELS.build(
        dict(
            type=etris.ETRIS,
            data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(0,) * 3, std=(1,) * 3),
            encoder=_image_tower(record),
            text_encoder=dict(
                type='CLIPTextTower',
                width=sizes['text_width'],
                depth=sizes['text_layers'],
                sentence_channels=sizes['embed_dim'],
                max_tokens=sizes['context_length'],
                vocabulary_size=sizes['vocab_size'],
                head_channels=sizes['text_width'] // sizes['text_heads'],
            ),
            channels=sizes['vis_dim'],
            bridge=dict(channels=sizes['ladder_dim'], heads=sizes['nhead']),
            bridges=sizes['multi_stage'] if sizes['kind'] == 'RN' else 3,
            decoder=dict(layers=sizes['num_layers'], heads=sizes['num_head'], hidden=sizes['dim_ffn'], dropout=0.0),
            loss=dict(type='BinaryCrossEntropy'),
            mask=RULE,
        )
    )
    state = etris_checkpoints.from_etris({f'module.{k}': v for k, v in record['state_dict'].items()})
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    for module in model.modules():  # the bridges', which no option sets
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(module, torch.nn.MultiheadAttention):
            module.dropout = 0.0
    return model.double().eval()


def _image_tower(record: dict) -> dict:
    sizes = record['config']
    if sizes['kind'] == 'ViT':
        rows = len(record['state_dict']['backbone.visual.positional_embedding'])
        return dict(
            type='CLIPViTEncoder',
            width=sizes['vision_width'],
            depth=sizes['vision_layers'],
            patch_size=sizes['patch_size'],
            grid=round((rows - 1) ** 0.5),
            projection_channels=sizes['embed_dim'],
            head_channels=sizes['vision_width'] // sizes['vision_heads'],
        )
    deepest = 32 * sizes['vision_width']
    return dict(
        type='CLIPResNetEncoder',
        depths=sizes['vision_layers'],
        base_channels=sizes['vision_width'],
        attention_pool=dict(
            out_channels=sizes['embed_dim'],
            grid=sizes['clip_resolution'] // 32,
            head_channels=deepest // (deepest // 64),
        ),
        norm_outs=False,
    )


@pytest.fixture
def tables(record, monkeypatch):
    """The tables of positions as the recording machine computed them, in float32, where the last bit may differ."""
    places, order = (record['tables'][name][:, 0] for name in ('decoder_vis_pos', 'decoder_txt_pos'))
    module = mgfe_ris.models.pixel_decoder
    torch.testing.assert_close(module.sine(torch.arange(len(order)), order.shape[1]), order, rtol=0, atol=1e-6)
    height, width = (side // 16 for side in record['config']['image_size'])
    torch.testing.assert_close(module.grid_places(height, width, places.shape[1]), places, rtol=0, atol=1e-6)
    monkeypatch.setattr(module, 'sine', lambda *_: order)
    monkeypatch.setattr(module, 'grid_places', lambda *_: places)


def test_recorded_features(record, model, tables):
    """Whatever was recorded of the towers, bridges, neck, decoder and projector."""
    inputs, seen = record['inputs'], {}
    places = {name: _place_of(name, record['config']['kind']) for name in record['features']}
    for name, (path, layout) in places.items():
        if path is not None:
            _keep(model.get_submodule(path), seen, name, layout)
    with torch.no_grad():
        (v3, v4, v5), words = model.run_towers(inputs['image'], inputs['ids'])
        sentence = model.text_encoder.sentence(words, ~inputs['pad_mask'])
        model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
        seen |= dict(v3=v3, v4=v4, v5=v5, words=words, state=sentence)
        if 'stem' in record['features']:
            seen['stem'] = model.encoder.stem(inputs['image'])
    assert seen.keys() == record['features'].keys()
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def _keep(module, seen: dict, name: str, layout: Callable[[Tensor], Tensor]) -> None:
    module.register_forward_hook(lambda module, inputs, out: seen.__setitem__(name, layout(out)))


def _first(x: Tensor) -> Tensor:
    """(B, n, C) -> (n, B, C), as the official code has tokens."""
    return x.transpose(0, 1)


def _tokens(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (h w, B, C)."""
    return x.flatten(2).permute(2, 0, 1)


def _same(x: Tensor) -> Tensor:
    return x


_PLACES = [
    (r'layer(\d)', r'encoder.layer\1', _same),
    (r'vit_ln_pre', r'encoder.ln_pre', _same),
    (r'vit_block(\d+)', r'encoder.blocks.\1', _first),
    (r'text_block(\d+)', r'text_encoder.blocks.\1', _first),
    (r'bridge(\d)_v_in', r'bridges.\1.zoom_in', _same),
    (r'bridge(\d)_t_in', r'bridges.\1.linear1', _first),
    (r'bridge(\d)_(ln_[vt])', r'bridges.\1.\2', _first),
    (r'bridge(\d)_fuse_([vt])', r'bridges.\1.fusion_\2', _first),
    (r'bridge(\d)_v_out', r'bridges.\1.zoom_out', _same),
    (r'bridge(\d)_t_out', r'bridges.\1.linear2', _first),
    (r'neck_text', r'neck.txt_proj', lambda x: x[None]),
    (r'neck_f(\d)', r'neck.f\1_proj', _same),
    (r'neck_fuse(\d)', r'neck.fusion\1', _tokens),
    (r'neck_out', r'neck', _same),
    (r'decoder_layer(\d)', r'decoder.layers.\1', _first),
    (r'decoder_norm', r'decoder.norm', _first),
    (r'proj_kernel', r'projector.txt', _same),
]


def _place_of(name: str, kind: str) -> tuple[str | None, Callable[[Tensor], Tensor]]:
    """The module of ours that gives a recorded feature, and how its output is laid out there."""
    for pattern, path, layout in _PLACES:
        if match := re.fullmatch(pattern, name):
            return match.expand(path), layout
    return None, _same


def test_recorded_logits(record, model, tables):
    inputs = record['inputs']
    with torch.no_grad():
        logits = model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)


def test_recorded_logits_with_tables_of_this_machine(record, model):
    inputs = record['inputs']
    with torch.no_grad():
        logits = model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
        alone = model.segment(inputs['image'][:1], inputs['ids'], ~inputs['pad_mask'])
        whole = model.segment(inputs['image'][:1].expand_as(inputs['image']), inputs['ids'], ~inputs['pad_mask'])
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-6)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9, msg='sentences about one photo')


def test_recorded_masks(record, model):
    """By ETRIS's own protocol, at the photos' sizes; a pixel at the threshold may differ by the warp's rounding."""
    known = record['evaluation']
    side = record['config']['image_size']
    for i, size in enumerate(known['photo_sizes']):
        place = dict(mask_rule=MaskRule(**RULE), img_shape=tuple(side), to_input=known['to_input'][i].tolist())
        scores, mask = scores_and_mask(record['logits'][i], size, SegDataSample(metainfo=place))
        torch.testing.assert_close(scores.double(), known['prob_photo'][i].double(), rtol=0, atol=2e-5)
        assert (mask != record['masks'][i]).sum() <= 1


def test_recorded_training(record, model, tables):
    """Three epochs of one step: losses, rates, norms of gradients, whole and by part, and the logits after them."""
    told = record['training']
    parameters = {official_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    bridges, rest = ([parameters[name] for name in group] for group in told['param_groups'])
    optimizer = torch.optim.Adam([dict(params=bridges), dict(params=rest)], lr=1e-4)
    schedule = MultiStepLR(optimizer, milestones=[2], gamma=0.1)
    image, ids = told['inputs']['image'], told['inputs']['ids']
    loss_function = BinaryCrossEntropy()
    for step, expected in enumerate(told['losses']):
        model.train()
        loss = loss_function(model.segment(image, ids, ids != 0), told['target'][:, 0])
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        assert loss.item() == pytest.approx(told['terms']['bce'][step], abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        norms = {name: p.grad.norm() for name, p in parameters.items() if p.grad is not None}
        if step == 0:
            assert sorted(parameters.keys() - norms.keys()) == sorted(told['no_gradient'])
        assert _norm(norms) == pytest.approx(told['grad_norms'][step], rel=1e-8)
        for part, norm in told['grad_norms_by_part'][step].items():
            assert _norm({k: v for k, v in norms.items() if k.startswith(f'{part}.')}) == pytest.approx(norm, rel=1e-8)
        assert [group['lr'] for group in optimizer.param_groups] == pytest.approx(told['lrs'][step])
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.segment(image, ids, ids != 0), told['logits_after'], rtol=0, atol=1e-8)


def _norm(norms: dict[str, Tensor]) -> float:
    return torch.stack(list(norms.values())).norm().item()


def official_name(name: str) -> str:
    import etris_checkpoints

    return next(iter(etris_checkpoints.to_etris({name: torch.zeros(())})['state_dict'])).removeprefix('module.')


def test_recorded_groups_hold_what_is_trained(record, model):
    """In the first group the bridges, in the second the rest; what stands in none is frozen."""
    bridges, rest = record['training']['param_groups']
    trained = {official_name(name): name for name, p in model.named_parameters() if p.requires_grad}
    assert trained.keys() == {*bridges, *rest}
    assert {trained[name] for name in bridges} == {name for name in trained.values() if name.startswith('bridges.')}
