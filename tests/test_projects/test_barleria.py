"""BarLeRIa against numbers recorded from its official code."""

import math
import re
import runpy

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from records import ROOT, norm_of, project_of, record_of
from slow import slow
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

import mgfe_ris.models.pixel_decoder
from mgfe_ris.apis import RISInferencer, build_model, export_onnx, input_size, load_config
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.encoders.position_table import resize_position_table
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

record = record_of('barleria')
project = project_of('barleria', autouse=True)
PROJECT = ROOT / 'projects/barleria'
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


@pytest.fixture
def model(record):
    """Of the record's sizes and weights, in float64; as the official code, it normalises prompts over the batch."""
    import barleria
    import barleria_checkpoints

    init_default_scope('mmseg')
    sizes = record['config']
    side = 'side_adapter_network.'
    fusions = [tuple(int(i) for i in pair.split('->')) for pair in sizes['fusion']]
    model = MODELS.build(
        dict(
            type=barleria.BarLeRIa,
            data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(0,) * 3, std=(1,) * 3),
            encoder=dict(
                type='CLIPViTEncoder',
                width=sizes['vis'],
                depth=sizes['layers'],
                patch_size=sizes['patch'],
                grid=sizes['size'] // sizes['patch'],
                projection_channels=record['state_dict']['backbone.visual.proj'].shape[1],
                head_channels=sizes['head'],
            ),
            text_encoder=dict(
                type='CLIPTextTower',
                width=sizes['txt'],
                depth=sum(
                    name.startswith('backbone.transformer') and 'c_fc.bias' in name for name in record['state_dict']
                ),
                sentence_channels=record['state_dict']['backbone.text_projection'].shape[1],
                max_tokens=sizes['context'],
                vocabulary_size=sizes['vocab'],
                head_channels=sizes['head'],
            ),
            flow_steps=sizes['flow'],
            side=dict(
                width=sizes['side'],
                depth=sizes['side_depth'],
                heads=sizes['side_heads'],
                queries=record['state_dict'][side + 'query_embed'].shape[1],
                fusions=fusions,
                outputs=sizes['deep'],
                prompt_norm='batch',
            ),
            decoder=dict(layers=sizes['dec'], heads=sizes['num_head'], hidden=sizes['dim_ffn'], dropout=0.0),
            loss=dict(type='BinaryCrossEntropy'),
            mask=RULE,
        )
    ).double()
    state = barleria_checkpoints.from_barleria({f'module.{k}': v for k, v in record['state_dict'].items()})
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.eval()


@pytest.fixture
def tables(monkeypatch):
    """Positions and coordinates in double precision, as the record has them; ours and those of the original are in
    single precision."""

    def sine(position, channels):
        rates = torch.exp(torch.arange(0, channels, 2) * -(math.log(10000.0) / channels))
        angles = position.double()[:, None] * rates
        return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)

    assert_close(mgfe_ris.models.pixel_decoder.sine(torch.arange(26), 512), sine(torch.arange(26), 512), 2e-5)
    monkeypatch.setattr(mgfe_ris.models.pixel_decoder, 'sine', sine)
    for name in ('grid_places', 'word_places', 'from_end_to_end'):  # what they keep is of the other one
        made = getattr(mgfe_ris.models.pixel_decoder, name).__wrapped__
        monkeypatch.setattr(mgfe_ris.models.pixel_decoder, name, made)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_close(ours, theirs, atol: float) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol, check_dtype=False)


def segment(model, inputs: dict) -> torch.Tensor:
    with torch.no_grad():
        return model.segment(inputs['image'], inputs['text'], inputs['text'] != 0)


def test_recorded_logits_and_features(record, model, tables):
    outs = {}
    inside = dict(model.named_modules())
    for name in record['features']:
        if (module := inside.get(_module(name))) is not None:
            module.register_forward_hook(lambda m, _, out, name=name: outs.__setitem__(name, out))
    model.neck.register_forward_pre_hook(lambda m, inputs: outs.update(_levels(*inputs)))
    model.side.register_forward_pre_hook(lambda m, inputs: outs.update(words=inputs[1]))
    model.side.register_forward_hook(lambda m, _, out: outs.update(_outputs(out, len(record['config']['deep']))))
    assert_close(segment(model, record['inputs']), record['logits'], 1e-10)
    for name, known in record['features'].items():
        assert_close(_as_recorded(name, outs[name]), known, 1e-10)


def _module(name: str) -> str:
    """A recorded name -> that of our module, where there is one."""
    for theirs, ours in (
        (r'backbone\.visual\.transformer\.resblocks\.(\d+)\.flow$', r'image_flows.\1.attn'),
        (r'backbone\.visual\.transformer\.resblocks\.(\d+)\.flow2$', r'image_flows.\1.mlp'),
        (r'backbone\.transformer\.resblocks\.(\d+)\.flow$', r'text_flows.\1.attn'),
        (r'backbone\.transformer\.resblocks\.(\d+)\.flow2$', r'text_flows.\1.mlp'),
        (r'backbone\.visual\.transformer\.resblocks', 'encoder.blocks'),
        (r'backbone\.transformer\.resblocks', 'text_encoder.blocks'),
        (r'intertwiner\.proj', 'prompts'),
        (r'side_adapter_network\.vit_model\.patch_embed', 'side.patch_embed'),
        (r'side_adapter_network\.fusion_layers\.layer_', 'side.fusions.'),
        ('proj', 'projector'),
    ):
        if re.match(theirs, name):
            return re.sub(f'^{theirs}', ours, name)
    return name


def _levels(feats, sentence) -> dict:
    return dict(zip(('vis_c3', 'vis_c4', 'vis_c5', 'state'), (*feats, sentence), strict=True))


def _outputs(out, count: int) -> dict:
    maps, loss = out
    return {f'side_out_{i}': part for i, part in enumerate(maps.chunk(count, dim=1))} | {'var_loss': loss}


def _as_recorded(name: str, out: torch.Tensor) -> torch.Tensor:
    """The original has tokens before the batch in CLIP and the decoder, and pixels in a row in both's ends."""
    if name.startswith(('backbone.', 'decoder.layers')):
        return out.transpose(0, 1)
    if name == 'decoder':
        return out.flatten(2)
    return out.flatten(2).mT if name.endswith('patch_embed') else out


def test_recorded_table_of_positions(record, model):
    """A file of CLIP with a smaller grid is fitted to ours when it is read."""
    known = record['loading']
    table = resize_position_table(known['clip_visual_positional_embedding'], (model.encoder.grid,) * 2)
    assert_close(table, known['resized'], 1e-6)  # in single precision, there and here


def test_recorded_logits_of_a_sample_alone(record, model, tables):
    """What a sample gets does not depend on its batch, but in training, where it does so in the original."""
    inputs = record['inputs']
    model.side.prompt_norm = 'batch_in_training'
    alone = segment(model, {name: inputs[name][:1] for name in ('image', 'text')})
    assert_close(alone, record['logits_first_sample_alone'], 1e-10)
    assert_close(segment(model, inputs)[:1], record['logits_first_sample_alone'], 1e-10)
    of_one_photo = segment(model, dict(image=inputs['image'][:1], text=inputs['text']))
    assert_close(of_one_photo, segment(model, dict(inputs, image=inputs['image'][:1].expand(3, -1, -1, -1))), 1e-10)


def test_recorded_logits_with_tables_of_this_machine(record, model):
    assert_close(segment(model, record['inputs']), record['logits'], 1e-6)


def test_recorded_masks(record):
    """By the official protocol, at the photos' sizes; a pixel at the threshold may differ by the warp's rounding.

    The record's warp ran in double precision, where OpenCV leaves 0 wherever one of the 16 pixels that it reads lies
    outside of the input; in the single precision of the official code it does not.
    """
    inputs, side = record['inputs'], record['config']['size']
    for i, (size, inverse) in enumerate(zip(inputs['ori_sizes'], inputs['inverse'], strict=True)):
        to_input = torch.linalg.inv(torch.cat([inverse.double(), torch.tensor([[0, 0, 1.0]], dtype=torch.double)]))[:2]
        place = dict(mask_rule=MaskRule(**RULE), img_shape=(side, side), to_input=to_input.tolist())
        sample = SegDataSample(metainfo=place)
        score, _ = scores_and_mask(record['logits'][i], (side, side), sample)
        assert_close(score, record['probabilities_at_input'][i], 1e-6)
        _, mask = scores_and_mask(record['logits'][i], size, sample)
        inside = _reads_inside(size, to_input, side)
        assert inside.float().mean() > 0.5
        assert (mask & inside != record['masks'][i]).sum() <= 1


def _reads_inside(size, to_input, side: int) -> torch.Tensor:
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.double) for n in size), indexing='ij')
    places = torch.stack([x, y, torch.ones_like(x)], dim=2) @ to_input.T
    return ((places.floor() >= 1) & (places.floor() < side - 2)).all(2)


def test_recorded_training(record, model, tables):
    """Three steps of Adam: both losses, norms of gradients, statistics of the batch norms, and the weights after."""
    told = record['training']
    inputs, model.side.prompt_norm = told['inputs'], 'batch_in_training'
    samples = [SegDataSample(gt_share=PixelData(data=target)) for target in told['target']]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained)
    model.train()
    for step, total in enumerate(told['losses']):
        losses = model(inputs['image'], inputs['text'], inputs['text'] != 0, samples, mode='loss')
        assert losses['loss_mask'].item() == pytest.approx(told['loss_mask'][step], abs=1e-9)
        assert losses['loss_var'].item() == pytest.approx(told['loss_var'][step], abs=1e-9)
        loss, logged = model.parse_losses(losses)
        assert logged['loss'].item() == pytest.approx(total, abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        norm = norm_of(p.grad for p in trained)
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        (rate,) = set(told['lrs'][step])
        optimizer.param_groups[0]['lr'] = rate
        optimizer.step()
    norm = norm_of(p.detach() for p in trained)
    assert norm == pytest.approx(told['param_norm_after'], rel=1e-8)
    theirs = model.to_official(model.state_dict())['state_dict']
    for name, known in told['batch_stats'].items():
        assert_close(theirs[f'module.{name}'], known, 1e-9)


def test_recorded_groups_and_what_is_frozen(record, model):
    """One rate for all that trains, though the original has two groups; and the rest stays."""
    told, names = record['training'], [name for name, _ in model.named_parameters()]
    official = {
        _once(next(iter(model.to_official({name: p})['state_dict'])).removeprefix('module.')): p.requires_grad
        for name, p in model.named_parameters()
    }
    assert len(official) == len(names)
    assert {group['lr'] for group in told['groups']} == {1e-4}
    assert not any(group['weight_decay'] for group in told['groups'])
    trained = {_once(name) for group in told['groups'] for name in group['names']}
    assert trained == {name for name, requires_grad in official.items() if requires_grad}
    frozen = {_once(name) for name in told['frozen']}
    assert frozen == {name for name in official if name not in trained} | {'backbone.logit_scale'}


def _once(name: str) -> str:
    return name.replace('.log_jacobians.', '.transforms.')


def test_recorded_weights_come_back(record, model):
    """Ours -> official names: bit by bit, but for ``logit_scale``, which nothing reads."""
    theirs = model.to_official(model.state_dict())['state_dict']
    assert set(theirs) == {f'module.{name}' for name in record['state_dict']}
    for name, known in record['state_dict'].items():
        assert name == 'backbone.logit_scale' or torch.equal(
            theirs[f'module.{name}'], known.to(theirs[f'module.{name}'])
        ), name


def test_a_full_model_has_the_official_size(project):
    """Parameters but for ``logit_scale``. Operations of layers as thop counts them; it counts some of each number of
    norms and up-samplings, too, which is the rest of its 70.3 G."""
    with shapes_only():
        model = build_model(load_config(project / 'barleria_vit-b16_refcoco.py', from_scratch=True)).eval()
    assert _count(model) == 176_136_738 - 1
    assert _count(model, trained=True) == 26_706_721
    parts = model.neck, model.decoder, model.projector, model.side, model.image_flows, model.text_flows, model.prompts
    counts = 9_983_488, 7_899_136, 4_788_737, 3_052_608, 184_416, 122_976, 41_760
    assert tuple(_count(part, trained=True) for part in parts) == counts
    macs = _layer_macs(model, 416, 17)
    queries_and_keys_of_signals = 8 * (128 + 17 + 26**2) * 3 * 144**2  # which have no effect, and are not computed here
    assert (macs + queries_and_keys_of_signals) / 1e9 == pytest.approx(69.98, abs=0.005)


def _count(module: nn.Module, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def _layer_macs(model: nn.Module, side: int, tokens: int) -> int:
    """Of convolutions and linear layers, but those inside of torch's attention."""
    hidden = {layer for m in model.modules() if isinstance(m, nn.MultiheadAttention) for layer in m.modules()}
    macs = []

    def count(layer, inputs, out) -> None:
        where = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else out
        macs.append(where.numel() * layer.weight[0].numel())

    for layer in set(model.modules()) - hidden:
        if isinstance(layer, (nn.Conv2d, nn.Linear, nn.ConvTranspose2d)):
            layer.register_forward_hook(count)
    ids = torch.zeros(1, tokens, dtype=torch.long, device='meta')
    with torch.no_grad():
        model.segment(torch.zeros(1, 3, side, side, device='meta'), ids, ids == 0)
    return sum(macs)


SMALL = {
    'model.encoder.width': 64,
    'model.encoder.depth': 4,
    'model.encoder.patch_size': 104,
    'model.encoder.grid': 4,
    'model.encoder.projection_channels': 32,
    'model.text_encoder.width': 64,
    'model.text_encoder.depth': 1,
    'model.text_encoder.sentence_channels': 32,
    'model.text_encoder.vocabulary_size': 512,
    'model.levels': (1, 2),
    'model.side': dict(width=24, depth=2, heads=2, queries=3, fusions=((0, 0), (3, 1)), outputs=(1, 2)),
    'model.decoder': dict(layers=1, heads=2, hidden=32),
}
"""Options that leave of a full config what a test has time for."""


@pytest.mark.parametrize('data', ['refcoco', 'refcoco+', 'refcoco+_intended', 'gref-umd', 'gref-google'])
def test_a_config_is_the_official_recipe(project, data):
    """32 photos on 8 GPUs, Adam at one rate for 35 epochs and a tenth of it for 15; RefCOCO+ is chosen on a test."""
    cfg = load_config(project / f'barleria_vit-b16_{data}.py')
    assert cfg.model.data_preprocessor.tokenizer.max_tokens == 17
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (4, 32)
    assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4) and 'clip_grad' not in cfg.optim_wrapper
    assert (cfg.param_scheduler.milestones, cfg.param_scheduler.gamma, cfg.train_cfg.max_epochs) == ([35], 0.1, 50)
    assert cfg.val_dataloader.dataset.split == ('testB' if data == 'refcoco+' else 'val')
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'
    assert cfg.model.side.prompt_norm == 'batch_in_training'


def test_recorded_rates_of_the_epochs(record, project):
    cfg = load_config(project / 'barleria_vit-b16_refcoco.py')
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=cfg.optim_wrapper.optimizer.lr)
    scheduler = MultiStepLR(optimizer, cfg.param_scheduler.milestones, cfg.param_scheduler.gamma)
    for expected in record['training']['lr_per_epoch']:
        assert optimizer.param_groups[0]['lr'] == pytest.approx(expected, rel=1e-12)
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize('config', ['barleria_vit-b16_gref-umd.py', 'barleria_tiny_refshapes.py'])
def test_configs_build_and_train(project, config):
    """Steps move all that is trained and nothing else, and a prediction has the photo's size."""
    torch.manual_seed(0)
    tiny = 'tiny' in config
    cfg = load_config(project / config, {} if tiny else dict(SMALL), from_scratch=True)
    model = build_model(cfg).train()
    assert tiny == all(p.requires_grad for p in model.parameters())
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch, samples = _batch(input_size(cfg))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(3):
        loss, logged = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
        assert loss.item() == pytest.approx((logged['loss_mask'] + logged['loss_var']).item())
        wrapper.update_params(loss)
    stays = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert stays == {name for name, p in model.named_parameters() if not p.requires_grad}
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


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'text_encoder.sentence_channels': 32}, 'projection_channels is 64, the sentence has 32'),
        (
            {'text_encoder.sentence_channels': None, 'encoder.projection_channels': None},
            'the sentence has None channels: expected the same number',
        ),
        ({'data_preprocessor.tokenizer.trim': True}, 'trim must be False'),
        ({'levels': (1, 4)}, r'levels must name blocks 0 to 3 of the encoder; got \(1, 4\)'),
        ({'levels': (1,)}, 'levels must be two'),
        ({'side.fusions': ((4, 0),)}, 'side.fusions must name blocks 0 to 3 of the encoder'),
        ({'side.fusions': ((0, 5),)}, 'fusions must end at different blocks 0 to 4'),
        ({'side.outputs': (0,)}, r'outputs must be of the blocks 1 to 4; got \(0,\)'),
        ({'side.heads': 5}, 'width 48 cannot have 5 heads'),
        ({'side.prompt_norm': 'none'}, "prompt_norm must be one of batch, sample, batch_in_training; got 'none'"),
        ({'encoder': dict(type='SwinEncoder', _delete_=True)}, 'CLIPViTEncoder; got SwinEncoder'),
    ],
)
def test_parts_that_do_not_fit_are_refused(project, wrong, message):
    options = {f'model.{key}': value for key, value in wrong.items()}
    with pytest.raises(ValueError, match=message):
        build_model(load_config(project / 'barleria_tiny_refshapes.py', options))


def test_photos_of_another_size_are_refused(project):
    model = build_model(load_config(project / 'barleria_tiny_refshapes.py'))
    ids = torch.ones(1, 20, dtype=torch.long)
    with pytest.raises(ValueError, match=r'photos of 128x128 pixels; got 64x80'):
        model.segment(torch.zeros(1, 3, 64, 80), ids, ids == 1)


def test_names_of_other_models_are_refused(project):
    import barleria_checkpoints

    clip = {'backbone.visual.class_embedding': torch.zeros(1)}
    flow = {**clip, 'backbone.transformer.resblocks.0.flow.transforms.0.bias': torch.zeros(1)}
    twice = {'backbone.transformer.resblocks.0.flow.log_jacobians.0.bias': torch.ones(1)}
    with pytest.raises(ValueError, match='no CLIP in it'):
        barleria_checkpoints.from_barleria({'neck.x': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: neck2\.x'):
        barleria_checkpoints.from_barleria({**flow, 'neck2.x': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'log_jacobians\.0\.bias differs from'):
        barleria_checkpoints.from_barleria({**flow, **twice})
    with pytest.raises(ValueError, match=r'nothing here explains: decode_head\.y'):
        barleria_checkpoints.to_barleria({'decode_head.y': torch.zeros(1)})


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch, capsys):
    """Which the inferencer opens, with the model's own threshold; a mask does not depend on the other sentences."""
    torch.manual_seed(0)
    config = project / 'barleria_tiny_refshapes.py'
    model = build_model(load_config(config))
    torch.save({'epoch': 3, **model.to_official(model.state_dict())}, tmp_path / 'best_model.pth')
    tool = ROOT / 'tools/model_converters/official2mgfe.py'
    arguments = [str(tmp_path / 'best_model.pth'), '--config', str(config), '--out', str(tmp_path / 'barleria')]
    monkeypatch.setattr('sys.argv', [str(tool), *arguments])
    runpy.run_path(str(tool), run_name='__main__')
    assert 'wrote' in capsys.readouterr().out
    inferencer = RISInferencer(tmp_path / 'barleria')
    for name, value in model.state_dict().items():
        assert torch.equal(value, inferencer.model.state_dict()[name]), name
    photo = np.full((40, 60, 3), 90, np.uint8)
    result, other = inferencer(photo, ['the red ring', 'a dog'])
    assert inferencer.threshold == 0.35
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.35)
    np.testing.assert_allclose(inferencer(photo, 'the red ring').score, result.score, atol=1e-5)
    assert not np.allclose(result.score, other.score, atol=1e-5)


@slow('half a minute')
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    torch.manual_seed(0)
    model = build_model(load_config(project / 'barleria_tiny_refshapes.py')).eval()
    assert export_onnx(model, tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
