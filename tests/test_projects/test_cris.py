"""CRIS against numbers recorded from its official code."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS

import mgfe_ris.models.pixel_decoder
from mgfe_ris.apis import RISInferencer, build_model, input_size, load_config
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.losses import BinaryCrossEntropy
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared/fixtures'
RECORDS = sorted(SHARED.glob('cris*.pt'))
BOX = ((1.0, 0.0, 0.0), (0.0, 1.0, 12.0))
SMALL = {
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.base_channels': 16,
    'model.encoder.attention_pool': dict(out_channels=32),
    'model.text_encoder.width': 64,
    'model.text_encoder.depth': 1,
    'model.text_encoder.sentence_channels': 32,
    'model.text_encoder.vocabulary_size': 512,
    'model.neck_channels': (32, 64, 64),
    'model.decoder': dict(layers=1, heads=2, hidden=32),
}
"""Options that leave of a full config what a test has time for."""
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/cris*.pt')
    return torch.load(request.param, weights_only=True)


@pytest.fixture
def model(record, monkeypatch):
    """Of the record's sizes and weights, in float64."""
    monkeypatch.syspath_prepend(ROOT / 'projects/cris')
    import cris
    import cris_checkpoints

    init_default_scope('mmseg')
    sizes = record['config']
    pool = dict(out_channels=sizes['embed_dim'], grid=sizes['clip_resolution'] // 32)
    model = MODELS.build(
        dict(
            type=cris.CRIS,
            data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(0,) * 3, std=(1,) * 3),
            encoder=dict(
                type='CLIPResNetEncoder',
                depths=sizes['vision_layers'],
                base_channels=sizes['vision_width'],
                attention_pool=pool,
                norm_outs=False,
            ),
            text_encoder=dict(
                type='CLIPTextTower',
                width=sizes['text_width'],
                depth=sizes['text_layers'],
                sentence_channels=sizes['embed_dim'],
                max_tokens=sizes['context_length'],
                vocabulary_size=sizes['vocab_size'],
            ),
            neck_channels=sizes['fpn_out'],
            decoder=dict(layers=sizes['num_layers'], heads=sizes['num_head'], hidden=sizes['dim_ffn'], dropout=0.0),
            loss=dict(type='BinaryCrossEntropy'),
            mask=RULE,
        )
    )
    state = cris_checkpoints.from_cris({f'module.{k}': v for k, v in record['state_dict'].items()})
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.double().eval()


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
        whole = model.segment(inputs['image'][:1].expand(3, -1, -1, -1), inputs['ids'], ~inputs['pad_mask'])
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-6)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9, msg='sentences about one photo')


def test_recorded_masks(record, model, tables):
    """By CRIS's own protocol, at the photos' sizes; a pixel at the threshold may differ by the warp's rounding."""
    known = record['evaluation']
    side = record['config']['image_size']
    for i, size in enumerate(known['photo_sizes']):
        place = dict(mask_rule=MaskRule(**RULE), img_shape=tuple(side), to_input=known['to_input'][i].tolist())
        scores, mask = scores_and_mask(record['logits'][i], size, SegDataSample(metainfo=place))
        torch.testing.assert_close(scores.double(), known['prob_photo'][i].double(), rtol=0, atol=2e-5)
        assert (mask != record['masks'][i]).sum() <= 1


def test_recorded_training(record, model, tables):
    """Three steps of Adam at the recorded rates: losses, norms of gradients, and the logits after them."""
    told = record['training']
    groups, names = [], dict(model.named_parameters())
    towers = [p for name, p in names.items() if _is_tower(name)]
    groups = [dict(params=towers), dict(params=[p for name, p in names.items() if not _is_tower(name)])]
    optimizer = torch.optim.Adam(groups)
    loss_function = BinaryCrossEntropy()
    image, ids = told['inputs']['image'], told['inputs']['ids']
    for step, expected in enumerate(told['losses']):
        model.train()
        loss = loss_function(model.segment(image, ids, ids != 0), told['target'][:, 0])
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in names.values() if p.grad is not None]).norm().item()
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        for group, lr in zip(optimizer.param_groups, told['lrs'][step], strict=True):
            group['lr'] = lr
        optimizer.step()
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.segment(image, ids, ids != 0), told['logits_after'], rtol=0, atol=1e-8)


def _is_tower(name: str) -> bool:
    return name.startswith(('encoder.', 'text_encoder.')) and 'positional_embedding' not in name


@pytest.fixture
def project(monkeypatch) -> Path:
    monkeypatch.syspath_prepend(ROOT / 'projects/cris')
    return ROOT / 'projects/cris'


@pytest.mark.parametrize('kind, count', [('rn50', 146_849_122), ('rn101', 161_251_682)])
def test_a_full_model_has_the_official_number_of_parameters(project, kind, count):
    """But for CLIP's ``logit_scale``, which nothing reads."""
    model = build_model(load_config(project / f'cris_{kind}_refcoco.py', from_scratch=True))
    assert sum(p.numel() for p in model.parameters()) == count - 1


def test_rates_are_those_of_the_official_groups(project):
    """CLIP at a tenth, its tables of positions at the whole rate."""
    cfg = load_config(project / 'cris_rn50_refcoco.py', dict(SMALL), from_scratch=True)
    model = build_model(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(group['params'][0]): group for group in wrapper.param_groups}
    for name, parameter in model.named_parameters():
        group = groups[id(parameter)]
        assert group['lr'] == pytest.approx(1e-5 if _is_tower(name) else 1e-4), name
        assert group['weight_decay'] == 0


@pytest.mark.parametrize('config', sorted(path.name for path in (ROOT / 'projects/cris').glob('cris_*_*.py')))
def test_configs_build_and_train(project, config):
    """A step from the loss to every parameter, and a prediction at the photo's size."""
    cfg = load_config(project / config, {} if 'tiny' in config else dict(SMALL), from_scratch=True)
    model = build_model(cfg)
    size = input_size(cfg)
    samples = [
        SegDataSample(metainfo=dict(sentence=text, img_shape=size, to_input=BOX)) for text in ('red ring', 'dog')
    ]
    for sample in samples:
        sample.gt_share = PixelData(data=torch.rand(1, *size))
    batch = dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples)
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    losses['loss'].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)
    assert tested[0].mask_rule.threshold == 0.35


def test_towers_of_two_kinds_are_refused(project):
    cfg = load_config(project / 'cris_tiny_refshapes.py', {'model.text_encoder.sentence_channels': 128})
    with pytest.raises(ValueError, match='the encoder ends with 64 channels, the sentence has 128'):
        build_model(cfg)


def test_names_of_other_models_are_refused(project):
    import cris_checkpoints

    for name in ('neck.x', 'classifier.x'):
        with pytest.raises(ValueError, match='CRIS'):
            cris_checkpoints.from_cris({name: torch.zeros(1)})


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch, capsys):
    """Which the inferencer opens, with the model's own threshold."""
    torch.manual_seed(0)
    config = project / 'cris_tiny_refshapes.py'
    model = build_model(load_config(config))
    torch.save({'epoch': 3, 'state_dict': official_names(model.state_dict())}, tmp_path / 'best_model.pth')
    tool = ROOT / 'tools/model_converters/official2mgfe.py'
    arguments = [str(tmp_path / 'best_model.pth'), '--config', str(config), '--out', str(tmp_path / 'cris')]
    monkeypatch.setattr('sys.argv', [str(tool), *arguments])
    runpy.run_path(str(tool), run_name='__main__')
    assert 'wrote' in capsys.readouterr().out
    inferencer = RISInferencer(tmp_path / 'cris')
    for name, value in model.state_dict().items():
        assert torch.equal(value, inferencer.model.state_dict()[name]), name
    result = inferencer(np.full((40, 60, 3), 90, np.uint8), 'the red ring')
    assert inferencer.threshold == 0.35
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.35)


def official_names(state: dict) -> dict:
    """Ours -> those of the official code, written down here once more."""
    named = {}
    for name, value in state.items():
        part, rest = name.split('.', 1)
        if part == 'encoder':
            rest = f'backbone.visual.{rest}'
        elif part == 'text_encoder':
            rest = 'backbone.' + rest.replace('blocks.', 'transformer.resblocks.')
            rest = rest.replace('.mlp.0.', '.mlp.c_fc.').replace('.mlp.2.', '.mlp.c_proj.')
        elif part == 'neck':
            rest = 'neck.' + rest.replace('coordconv.0.', 'coordconv.0.conv1.')
        elif part in ('decoder', 'projector'):
            rest = part.replace('projector', 'proj') + f'.{rest}'
        else:
            continue
        named[f'module.{rest}'] = value
    return {**named, 'module.backbone.logit_scale': torch.ones(())}
