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
from PIL import Image
from records import ROOT, keep, project_of, record_of
from slow import slow
from torch import Tensor

from mgfe_ris.apis import RISInferencer, build_model, export_onnx, load_config
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.losses import BinaryCrossEntropy
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.profiling import Setting, Workload
from mgfe_ris.profiling.flops import count_by_operator
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

record = record_of('etris')
project = project_of('etris')
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


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
            bridge=dict(channels=sizes['ladder_dim'], heads=sizes['nhead'], **_hidden_of_bridges(record)),
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


def _hidden_of_bridges(record: dict) -> dict:
    """The width of their decoder layers, of which the transformer's have none."""
    widths = [
        len(w) for name, w in record['state_dict'].items() if name.endswith('.linear1.weight') and 'fusion_v' in name
    ]
    return dict(hidden=widths[0]) if widths else {}


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


def test_recorded_features(record, model, tables):
    """Whatever was recorded of the towers, bridges, neck, decoder and projector."""
    inputs, seen = record['inputs'], {}
    places = {name: _place_of(name, record['config']['kind']) for name in record['features']}
    for name, (path, layout) in places.items():
        if path is not None:
            keep(model.get_submodule(path), seen, name, layout)
    with torch.no_grad():
        (v3, v4, v5), words = model.run_towers(inputs['image'], inputs['ids'])
        sentence = model.text_encoder.sentence(words, ~inputs['pad_mask'])
        model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
        seen |= dict(v3=v3, v4=v4, v5=v5, words=words, state=sentence)
        if 'stem' in record['features']:
            seen['stem'] = model.encoder.stem(inputs['image'])
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


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
        truth = known['truth'][i]
        shared, union = (truth & mask).sum().item(), (truth | mask).sum().item()
        assert shared / (union + 1e-6) == pytest.approx(known['ious'][i].item(), abs=2 / max(union, 1))


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


def test_recorded_gradients_that_are_zero(record, model, tables):
    """Of a bias that the norms after it take away again, and of queries and keys of the neck, exactly."""
    told = record['training']
    image, ids = told['inputs']['image'], told['inputs']['ids']
    BinaryCrossEntropy()(model.train().segment(image, ids, ids != 0), told['target'][:, 0]).backward()
    norms = {official_name(name): p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    zero = [name for name, norm in norms.items() if norm < 1e-12 * _norm(norms)]
    assert sorted(zero) == sorted(told['zero_gradient'])
    for gate in (model.neck.fusion3, model.neck.fusion4, model.neck.fusion5):
        gradient = gate.multihead_attn.in_proj_weight.grad
        assert gradient[: 2 * model.neck.txt_proj.out_features].eq(0).all()


def test_recorded_table_of_positions(record, model):
    """Of the archive of CLIP, resized when it is read."""
    if 'positional_embedding' not in record['clip']:
        pytest.skip('the residual network has none that is resized when it is read')
    known = record['clip']
    read = model.encoder._convert({'visual.positional_embedding': known['positional_embedding']})
    expected = known['positional_embedding_resized']
    torch.testing.assert_close(read['positional_embedding'].to(expected), expected, rtol=0, atol=1e-6)


def test_recorded_weights_come_back_bit_by_bit(record, project):
    """But for ``logit_scale``, which is CLIP's, and which no ETRIS reads."""
    import etris_checkpoints

    state = record['state_dict']
    back = etris_checkpoints.to_etris(etris_checkpoints.from_etris(state))['state_dict']
    assert back.keys() == {f'module.{name}' for name in state}
    assert back.pop('module.backbone.logit_scale').exp().item() == pytest.approx(100.0)
    for name, value in back.items():
        theirs = state[name.removeprefix('module.')]
        assert value.dtype == theirs.dtype and torch.equal(value, theirs), name


@pytest.mark.parametrize(
    'kind, total, trained, parts, macs',
    [
        ('rn50', 132_783_522, 28_819_009, (1_942_080, 12_867_072, 7_899_136, 5_968_897, 141_824), 54.65),
        ('rn101', 146_923_938, 26_328_129, (1_942_080, 11_556_352, 7_899_136, 4_788_737, 141_824), 66.92),
        ('vit-b16', 173_259_330, 23_829_313, (598_592, 9_983_488, 7_899_136, 4_788_737, 559_360), 98.60),
    ],
)
def test_a_full_model_has_the_official_size(project, kind, total, trained, parts, macs):
    """Parameters but for CLIP's ``logit_scale``; operations but for the attention that a gate makes unnecessary."""
    with shapes_only():
        model = build_model(load_config(project / f'etris_{kind}_refcoco.py', from_scratch=True)).eval()
    assert _count(model) == total - 1
    assert _trained(model) == trained
    towers = _trained(model.encoder) + _trained(model.text_encoder)
    assert (*map(_trained, (model.bridges, model.neck, model.decoder, model.projector)), towers) == parts
    photo = torch.zeros(1, 3, 416, 416, device='meta')
    ids = torch.zeros(1, 17, dtype=torch.long, device='meta')
    with torch.no_grad():
        ours = sum(count_by_operator(lambda: model.segment(photo, ids, ids == 0)).values()) / 2
    pixels, channels = 26 * 26, 512
    # of each of three: queries, the key, scores and their sum, and the output at every pixel instead of once
    unnecessary = channels**2 * (pixels + 1) + 2 * pixels * channels + channels**2 * (pixels - 1)
    assert (ours + 3 * unnecessary) / 1e9 == pytest.approx(macs, abs=0.005)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _trained(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


SMALL = {
    'model.text_encoder.width': 64,
    'model.text_encoder.depth': 3,
    'model.text_encoder.sentence_channels': 32,
    'model.text_encoder.vocabulary_size': 512,
    'model.channels': 64,
    'model.bridge': dict(channels=16, heads=2),
    'model.decoder': dict(layers=1, heads=2, hidden=32),
}
"""Options that leave of a full config what a test has time for."""
SMALL_TOWERS = {
    'rn50': {
        'model.encoder.depths': (1, 1, 1, 1),
        'model.encoder.base_channels': 16,
        'model.encoder.attention_pool': dict(out_channels=32),
    },
    'vit-b16': {
        'model.encoder.width': 64,
        'model.encoder.patch_size': 32,
        'model.encoder.grid': 13,
        'model.encoder.projection_channels': 32,
    },
}


def options_of(config: str) -> dict:
    kind = config.split('_')[1]
    return {} if kind == 'tiny' else SMALL | SMALL_TOWERS[kind]


DATA = [('refcoco', 17), ('refcoco+', 17), ('refcoco+_intended', 17), ('gref-umd', 22), ('gref-google', 22)]


@pytest.mark.parametrize('kind', ['rn50', 'rn101', 'vit-b16'])
@pytest.mark.parametrize('data, tokens', DATA)
def test_a_config_is_the_official_recipe(project, kind, data, tokens):
    """32 photos on 2 GPUs, Adam at 1e-4 for 35 epochs and a tenth for 15 more; RefCOCO+ is chosen on a test."""
    cfg = load_config(project / f'etris_{kind}_{data}.py')
    assert cfg.model.data_preprocessor.tokenizer.max_tokens == tokens
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (16, 32)
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
    assert (cfg.param_scheduler.milestones, cfg.param_scheduler.gamma, cfg.train_cfg.max_epochs) == ([35], 0.1, 50)
    assert cfg.val_dataloader.dataset.split == ('testB' if data == 'refcoco+' else 'val')
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'


@pytest.mark.parametrize('config', ['etris_rn50_refcoco.py', 'etris_vit-b16_gref-umd.py', 'etris_tiny_refshapes.py'])
def test_configs_build_and_train(project, config):
    """Two steps move all that is trained and nothing else, and a prediction has the photo's size."""
    torch.manual_seed(0)
    cfg = load_config(project / config, options_of(config), from_scratch=True)
    model = build_model(cfg).train()
    assert ('tiny' in config) == all(p.requires_grad for p in model.parameters())
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch, samples = _batch((96, 96))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(2):  # the first one moves what the zeros at the start of residual blocks hide from the loss
        wrapper.update_params(model(**model.data_preprocessor(batch, training=True), mode='loss')['loss'])
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad != torch.equal(parameter, before[name]), name
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)
    assert tested[0].mask_rule.threshold == 0.35


def _batch(size: tuple[int, int]) -> tuple[dict, list[SegDataSample]]:
    place = dict(img_shape=size, to_input=((1.0, 0.0, 0.0), (0.0, 1.0, 12.0)))
    samples = [SegDataSample(metainfo=dict(sentence=text, **place)) for text in ('red ring', 'dog')]
    for sample in samples:
        sample.gt_share = PixelData(data=torch.rand(1, *size))
    return dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples), samples


@pytest.mark.parametrize('config', ['etris_rn50_refcoco.py', 'etris_rn50_refcoco_intended.py'])
def test_statistics_of_clip_move_or_stay(project, config):
    """They follow each batch in the official code; where they are held, the new shortcut of the pool is trained."""
    model = build_model(load_config(project / config, options_of(config), from_scratch=True)).train()
    held = 'intended' in config
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.segment(torch.randn(2, 3, 64, 64), torch.ones(2, 17, dtype=torch.long), torch.ones(2, 17, dtype=torch.bool))
    for name, buffer in model.named_buffers():
        if name.endswith('running_mean'):
            ours = not name.startswith('encoder.') or 'connect' in name
            assert torch.equal(buffer, before[name]) == (held and not ours), name
    assert all(p.requires_grad == held for p in model.encoder.attnpool.connect.parameters())


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'text_encoder.sentence_channels': 32}, 'the encoder ends with 64 channels, the sentence has 32'),
        ({'text_encoder.depth': 4}, 'text_encoder: depth must be a multiple of 3; got 4'),
        ({'bridges': 4}, 'bridges must be 0 to 3; got 4'),
        ({'encoder.attention_pool': None}, r'CLIPResNetEncoder with four stages, attention_pool=dict'),
        ({'data_preprocessor.tokenizer.trim': True}, 'trim'),
        ({'encoder': dict(type='SwinEncoder', _delete_=True)}, 'CLIPResNetEncoder or CLIPViTEncoder; got SwinEncoder'),
    ],
)
def test_parts_that_do_not_fit_are_refused(project, wrong, message):
    options = {f'model.{key}': value for key, value in wrong.items()}
    with pytest.raises(ValueError, match=message):
        build_model(load_config(project / 'etris_tiny_refshapes.py', options))


def test_a_model_that_runs_its_text_encoder_in_parts_is_measured_with_it(project):
    model = build_model(load_config(project / 'etris_tiny_refshapes.py'))
    with pytest.raises(ValueError, match=r"ETRIS runs its text encoder in parts.*no attribute '\w+'"):
        Workload(model, Setting(size=(64, 64), text=False))


def test_fewer_bridges_are_the_last_ones(project):
    """Under the names of the official code, whose first norms are those of the second bridge."""
    model = build_model(load_config(project / 'etris_tiny_refshapes.py', {'model.bridges': 2}))
    norms = {official_name(name).rsplit('.', 1)[0] for name, _ in model.bridges.named_parameters('bridges')}
    assert {name for name in norms if '.ln_' in name} == {'bridger.ln_v.1', 'bridger.ln_t.1'}
    assert {name for name in norms if 'zoom_in' in name} == {'bridger.zoom_in.1', 'bridger.zoom_in.2'}


def test_names_of_other_models_are_refused(project):
    import etris_checkpoints

    bridge, tower = {'bridger.zoom_in.0.weight': torch.zeros(1)}, {'backbone.visual.conv1.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match='no CLIP in it'):
        etris_checkpoints.from_etris(bridge)
    for name in ('neck2.x', 'bridger.zoom.0.weight'):
        with pytest.raises(ValueError, match=f'nothing here explains: {name}'):
            etris_checkpoints.from_etris({**bridge, **tower, name: torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: decode_head\.y'):
        etris_checkpoints.to_etris({'decode_head.y': torch.zeros(1)})


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch, capsys):
    """Which the inferencer and the command line open, with the model's own threshold."""
    torch.manual_seed(0)
    config = project / 'etris_tiny_refshapes.py'
    model = build_model(load_config(config))
    torch.save({'epoch': 3, **model.to_official(model.state_dict())}, tmp_path / 'best_model.pth')
    monkeypatch.chdir(tmp_path)
    _run('tools/model_converters/official2mgfe.py', 'best_model.pth', '--config', config, '--out', 'etris')
    assert 'wrote' in capsys.readouterr().out
    inferencer = RISInferencer(tmp_path / 'etris')
    for name, value in model.state_dict().items():
        assert torch.equal(value, inferencer.model.state_dict()[name]), name
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result = inferencer(photo, 'the red ring')
    assert inferencer.threshold == 0.35
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.35)
    Image.fromarray(photo).save('photo.png')
    _run(
        'tools/infer.py', 'photo.png', '--text', 'the red ring', '--model', 'etris', '--device', 'cpu', '--out', 'found'
    )
    (written,) = Path('found/masks').iterdir()
    np.testing.assert_array_equal(np.asarray(Image.open(written)) > 0, result.mask)


def _run(tool: str, *arguments: str | Path) -> None:
    """In this process, which saves seconds of imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('sys.argv', [tool, *map(str, arguments)])
        runpy.run_path(str(ROOT / tool), run_name='__main__')


@slow('a minute for each')
@pytest.mark.parametrize('config', ['etris_tiny_refshapes.py', 'etris_vit-b16_refcoco.py'])
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path, config):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    torch.manual_seed(0)
    options = options_of(config) | {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    model = build_model(load_config(project / config, options, from_scratch=True)).eval()
    assert export_onnx(model, tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
