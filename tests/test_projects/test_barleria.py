"""BarLeRIa against numbers recorded from its official code."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS

import mgfe_ris.models.pixel_decoder
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.encoders.position_table import resize_position_table
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / 'shared/fixtures'
RECORDS = sorted(SHARED.glob('barleria*.pt'))
PROJECT = ROOT / 'projects/barleria'
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


@pytest.fixture(autouse=True)
def project(monkeypatch) -> Path:
    monkeypatch.syspath_prepend(PROJECT)
    return PROJECT


@pytest.fixture(scope='module', params=RECORDS or [None], ids=lambda path: path.stem if path else 'none')
def record(request) -> dict:
    if request.param is None:
        pytest.skip(f'no recorded numbers: {SHARED}/barleria*.pt')
    return torch.load(request.param, weights_only=True)


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
        ('backbone.visual.transformer.resblocks.0.flow', 'image_flows.0.attn'),
        ('backbone.visual.transformer.resblocks', 'encoder.blocks'),
        ('backbone.transformer.resblocks', 'text_encoder.blocks'),
        ('intertwiner.proj', 'prompts'),
        ('side_adapter_network.vit_model.patch_embed', 'side.patch_embed'),
        ('side_adapter_network.fusion_layers.layer_', 'side.fusions.'),
        ('proj', 'projector'),
    ):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
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
        assert inside.float().mean() > 0.8
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
        norm = torch.stack([p.grad.norm() for p in trained]).norm().item()
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        (rate,) = set(told['lrs'][step])
        optimizer.param_groups[0]['lr'] = rate
        optimizer.step()
    norm = torch.stack([p.detach().norm() for p in trained]).norm().item()
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
