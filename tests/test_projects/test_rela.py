"""ReLA against numbers recorded from its official code."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import MultiStepLR, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from torch import Tensor

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.encoders.layout import to_map
from mgfe_ris.structures import SegDataSample, mask_of

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared/fixtures'
RECORDS = sorted(SHARED.glob('rela*.pt'))
CLASS_WEIGHT = tuple(float(np.float32(weight)) for weight in (0.9, 1.1))
"""Float32 numbers, in a run in float64, too."""


@pytest.fixture
def project(monkeypatch) -> Path:
    monkeypatch.syspath_prepend(ROOT / 'projects/rela')
    return ROOT / 'projects/rela'


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/rela*.pt')
    return torch.load(request.param, weights_only=True)


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, its scalar g included, in float64, without dropout; all of it is trained."""
    import rela

    init_default_scope('mmseg')
    sizes, state = record['config'], rela.from_rela(record['state_dict'], lang_weight=True)
    model = MODELS.build(
        dict(
            type=rela.ReLA,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            text_encoder=dict(
                type='HFTextEncoder',
                config=dict(
                    model_type='bert',
                    vocab_size=sizes['vocab'],
                    hidden_size=sizes['text_dim'],
                    num_hidden_layers=sizes['text_layers'],
                    num_attention_heads=sizes['text_heads'],
                    intermediate_size=sizes['text_ffn'],
                    max_position_embeddings=len(state['text_encoder.model.embeddings.position_embeddings.weight']),
                    hidden_dropout_prob=0.0,
                    attention_probs_dropout_prob=0.0,
                ),
            ),
            encoder=dict(
                type='SwinEncoder',
                embed_dims=sizes['embed_dim'],
                depths=sizes['depths'],
                num_heads=sizes['num_heads'],
                window_size=sizes['window_size'],
                drop_path_rate=0.0,
            ),
            neck=dict(
                type='MGFENeck',
                channels=[sizes['embed_dim'] * 2**i for i in range(4)],
                text_channels=sizes['text_dim'],
                attention=dict(type='PixelWordAttention'),
                weigh=dict(type='LanguageGate', std=0.0),
                decoder_reads='G',
            ),
            pixel_decoder=dict(
                channels=sizes['conv_dim'],
                mask_channels=sizes['mask_dim'],
                layers=sizes['encoder_layers'],
                heads=sizes['nheads'],
                hidden=sizes['encoder_ffn'],
            ),
            head=dict(
                channels=sizes['hidden_dim'],
                grid=sizes['grid'],
                layers=sizes['decoder_layers'],
                heads=sizes['nheads'],
                hidden=sizes['decoder_ffn'],
            ),
            loss=dict(type='WeightedCrossEntropyLoss', class_weight=CLASS_WEIGHT),
        )
    )
    assert not differences(state, model.state_dict())
    model.load_state_dict(state)
    return model.double().eval()


def inputs_of(record: dict) -> tuple[Tensor, Tensor, Tensor]:
    return record['inputs']['image'], record['inputs']['ids'], record['inputs']['mask'].bool()


def _close(found: Tensor, expected: Tensor, bound: float, name: str = '') -> None:
    """Up to ``bound``, times the largest number where that is above 1: logits are up to 17 here."""
    atol = bound * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found, expected, rtol=0, atol=atol, msg=lambda text: f'{name}: {text}')


def _keep(module, seen: dict, name: str, layout: Callable) -> None:
    module.register_forward_hook(lambda module, inputs, out: seen.__setitem__(name, layout(out)))


def test_recorded_features(record, model):
    """Whatever was recorded of text, stages, pixel decoder and head."""
    seen: dict = {}
    _keep(model.text_encoder, seen, 'text', lambda out: out.words)
    for stage in range(4):
        _keep(getattr(model.encoder, f'norm{stage}'), seen, f'res{stage + 2}', lambda out: out)
    told = run_from(record, model, seen, *inputs_of(record))
    for stage in range(4):
        expected = record['features'][f'res{stage + 2}']
        seen[f'res{stage + 2}'] = to_map(seen[f'res{stage + 2}'], expected.shape[-2:])
    assert told.keys() <= seen.keys()
    for name, expected in told.items():
        _close(seen[name], expected, 1e-9, name)  # an instance norm over what hardly varies makes much of rounding


def run_from(record: dict, model, seen: dict, *inputs: Tensor) -> dict[str, Tensor]:
    """Run the model on photos and words, or its rear on the stages' maps and words; collect its features. -> what was
    recorded of them."""
    _keep(model.head.read_words.norm, seen, 'region_language', lambda out: out.transpose(0, 1))
    for i, layer in enumerate(model.head.layers):
        for kind in ('image', 'region', 'ffn'):
            _keep(getattr(layer, kind), seen, f'region_{kind}{i}', lambda out: out.transpose(0, 1))
    _keep(model.pixel_decoder, seen, 'pixels', lambda out: out)
    size = record['inputs']['image'].shape[-2:]
    with torch.no_grad():
        found = model.find_regions(*inputs) if len(inputs) == 3 else model.head(*model.pixel_decoder(inputs[0]), inputs[1])
        finest, maps = seen.pop('pixels')
        last = seen[f'region_ffn{len(model.head.layers) - 1}'].transpose(0, 1)
        seen['region_masks'] = model.head.masks_of(last, finest)
    seen['probability'] = F.interpolate(found.logits, size, mode='bilinear', align_corners=False).sigmoid()
    seen |= {f'decoder_level{i}': x for i, x in enumerate(maps)}
    seen |= dict(mask_features=finest, minimap=found.minimap, no_target=found.no_target, logits=found.logits)
    seen |= dict(no_target_probability=found.no_target.sigmoid())
    told = {name: x for name, x in record['features'].items() if name != 'logits_after_official_loading'}
    return {**told, 'logits': record['logits']}


def test_recorded_features_behind_the_stages(record, model):
    """Of pixel decoder and head, where both begin with what was recorded of the stages and words."""
    seen: dict = {}
    stages = [record['features'][f'res{i}'] for i in range(2, 6)]
    told = run_from(record, model, seen, stages, record['features']['text'])
    assert told.keys() - seen.keys() == {'text', 'res2', 'res3', 'res4', 'res5'}
    for name in told.keys() & seen.keys():
        _close(seen[name], told[name], 1e-12, name)


def test_recorded_logits_after_official_loading(record, model):
    """Which leaves g, the scalar before the words, at 0; as the converter does, unless it is told otherwise."""
    import rela

    model.load_state_dict(rela.from_rela(record['state_dict']))
    assert model.head.read_words.weight == 0
    with torch.no_grad():
        logits = model.segment(*inputs_of(record))
    expected = record['features']['logits_after_official_loading']
    _close(logits, expected, 1e-9)
    assert not torch.equal(expected, record['logits'])


def test_recorded_masks(record, model):
    size = record['masks'].shape[-2:]
    for logits, expected in zip(record['logits'], record['masks'], strict=True):
        found = mask_of(logits, size, SegDataSample(metainfo=dict(mask_rule=model.mask_rule)))
        near = F.interpolate(logits[None], size, mode='bilinear', align_corners=False)[0].diff(dim=0)[0].abs() < 1e-5
        assert torch.equal(found | near, expected | near)


def test_recorded_training(record, model):
    """Three steps of AdamW behind a clip of what is trained: losses, terms, rates and norms of gradients."""
    told = record['training']
    assert told['official'] and not told['without_gradient']
    names = {official_name(name): p for name, p in model.named_parameters()}
    assert names.keys() == {*told['in_no_group'], *(name for group in told['groups'] for name in group['params'])}
    groups = [
        dict(params=[names[name] for name in group['params']], weight_decay=group['weight_decay'])
        for group in told['groups']
    ]
    grouped = [p for group in groups for p in group['params']]
    optimizer = torch.optim.AdamW(groups, lr=told['lrs'][0])
    schedule = MultiStepLR(optimizer, milestones=record['config']['steps'], gamma=0.1, by_epoch=False)
    target = told['target'].long()
    assert (target.flatten(1).sum(1) == 0).long().equal(told['empty'])
    samples = [SegDataSample(gt_sem_seg=PixelData(data=truth[None])) for truth in target]
    for step, expected in enumerate(told['losses']):
        model.train()
        losses = model(*inputs_of(record), samples, mode='loss')
        loss = sum(losses.values())
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        terms = [losses[name].item() / weight for name, weight in zip(LOSSES, (5, 0.5, 0.5), strict=True)]
        assert terms == pytest.approx(told['terms'][step], abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        assert norm_of(names.values()) == pytest.approx(told['grad_norms'][step], rel=1e-8)
        assert norm_of(grouped) == pytest.approx(told['grouped_norms'][step], rel=1e-8)
        assert optimizer.param_groups[0]['lr'] == pytest.approx(told['lrs'][step])
        torch.nn.utils.clip_grad_norm_(grouped, 0.01)
        optimizer.step()
        schedule.step()


LOSSES = ('loss_mask', 'loss_minimap', 'loss_no_target')


def norm_of(parameters: Iterable[torch.nn.Parameter]) -> float:
    return torch.stack([p.grad.norm() for p in parameters]).norm().item()


def official_name(name: str) -> str:
    import rela_checkpoints

    values = torch.zeros(1, 1, 1, 1) if 'gate.' in name else torch.zeros(4)
    return next(iter(rela_checkpoints.to_rela({name: values})['model']))


def test_recorded_weights_come_back_bit_by_bit(record, project):
    import rela_checkpoints

    state = record['state_dict']
    back = rela_checkpoints.to_rela(rela_checkpoints.from_rela(state, lang_weight=True))['model']
    assert back.keys() == state.keys()
    for name, value in back.items():
        assert value.dtype == state[name].dtype and torch.equal(value, state[name]), name
