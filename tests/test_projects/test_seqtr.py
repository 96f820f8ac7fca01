"""SeqTR against numbers recorded from its official code; its points, sequences and configs."""

import re
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS, PARAM_SCHEDULERS, TRANSFORMS
from records import ROOT, keep, norm_of, official_parameters, project_of, record_of
from torch import Tensor, nn

from mgfe_ris.apis import RISInferencer, build_model, load_config, save_converted
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.polygons import filled
from mgfe_ris.structures import SegDataSample

record, project = record_of('seqtr'), project_of('seqtr', autouse=True)
PROJECT = ROOT / 'projects/seqtr'
CONFIGS = sorted(path.name for path in PROJECT.glob('seqtr_*_*.py'))
SMALL = {
    'model.encoder': dict(widths=(4, 8, 8, 8, 16, 16), depths=(1, 1, 1, 1, 1)),
    'model.text_encoder': dict(table_channels=8, channels=8),
    'model.transformer': dict(channels=32, heads=2, hidden=16, encoder_layers=1, decoder_layers=1),
}
"""Options that leave of a config what a test has time for."""


@pytest.fixture
def config(record):
    """The published one, for the record's sizes, without dropout."""
    cfg, told = load_config(PROJECT / 'seqtr_darknet53_refcoco.py', from_scratch=True), record['config']
    gru = record['state_dict']['lan_enc.lstm.weight_hh_l0']
    cfg.model.data_preprocessor = dict(type='BaseDataPreprocessor')
    cfg.model.encoder.widths = told['darknet_widths']
    cfg.model.text_encoder.update(vocabulary_size=told['vocab'], table_channels=told['emb'], channels=gru.shape[1])
    cfg.model.update(points=told['num_ray'], bins=told['num_bin'])
    cfg.model.transformer = dict(
        channels=told['d_model'],
        heads=told['nhead'],
        hidden=told['ffn'],
        encoder_layers=told['enc'],
        decoder_layers=told['dec'],
        dropout=0.0,
    )
    return cfg


@pytest.fixture
def model(record, config):
    """Of the record's weights, in float64."""
    model = MODELS.build(config.model).double()
    state = type(model).from_official(record['state_dict'])
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.eval()


def _with_padding(image: Tensor, fitted) -> Tensor:
    inside = torch.zeros_like(image[:, :1])
    for one, (height, width) in zip(inside, fitted, strict=True):
        one[:, :height, :width] = 1
    return torch.cat([image, inside], dim=1)


def _inputs(record: dict, inputs: dict) -> tuple[Tensor, Tensor, Tensor]:
    image = _with_padding(inputs['image'], record['inputs']['img_shapes'])
    return image, inputs['text'], inputs['text'] != 0


def _size(record: dict) -> tuple[int, int]:
    return tuple(record['inputs']['image'].shape[-2:])


def _close(ours: Tensor, theirs: Tensor, name: str = '') -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10, msg=lambda text: f'{name}: {text}')


def test_recorded_features(record, model):
    """Whatever was recorded of text, maps, fusion and transformer."""
    seen: dict[str, Tensor] = {}
    keep(model.text_encoder, seen, 'lan_enc', lambda out: out.sentence[:, None])
    for i in range(len(model.encoder.layers)):
        keep(model.encoder.layers[i], seen, f'vis_enc.darknet.{i}')
    keep(model.fusion.project, seen, 'fusion.top_project')
    keep(model.fusion, seen, 'fusion')
    keep(model.transformer.input_proj, seen, 'head.transformer.input_proj')
    for i, layer in enumerate(model.transformer.encoder):
        keep(layer, seen, f'head.transformer.encoder.layers.{i}')
    keep(model.transformer.norm, seen, 'decoder_teacher_forced')
    features = record['features']
    with torch.no_grad():
        x, padding = model.read(*_inputs(record, record['inputs']))
        pixels, places, _ = model.transformer.encode(x, padding)
        logits = model.transformer(x, padding, features['target_sequence'])
        decoded = seen['decoder_teacher_forced']
        own = model.transformer(x, padding, record['sequences'])
    seen.update({
        'decoder_teacher_forced': decoded,
        'head.transformer.encoder': pixels,
        'head.transformer.x_positional_encoding': places.mT.unflatten(2, x.shape[-2:]),
        'x_pos': places,
        'x_mask': padding.flatten(1),
        'logits_of_own_sequence': own,
        'target_sequence': features['target_sequence'],
        'logits': logits,
    })  # fmt: skip
    for name, expected in features.items():
        _close(seen[name], expected, name)


def test_recorded_logits(record, model):
    """Of each number, given those before it in the truth."""
    with torch.no_grad():
        x, padding = model.read(*_inputs(record, record['inputs']))
        _close(model.transformer(x, padding, record['features']['target_sequence']), record['logits'])


def test_recorded_sequences(record, model):
    """Said number by number, with what was said kept; and their masks, by COCO's filling."""
    inputs = _inputs(record, record['inputs'])
    with torch.no_grad():
        assert torch.equal(model.transformer.say(*model.read(*inputs)), record['sequences'])
        polygons = model.segment(*inputs)
    for polygon, expected in zip(polygons, record['masks'], strict=True):
        assert np.array_equal(filled(polygon.numpy(), _size(record)), expected.numpy())


def test_recorded_masks_of_sequences(record):
    """No number, one, two points that are a box, an odd one, an early end."""
    from seqtr_points import to_polygons

    told = record['points_to_mask']
    size = tuple(told['pad_shape'])
    polygons = to_polygons(told['sequences'], size, record['config']['num_bin'])
    for polygon, expected in zip(polygons, told['masks'], strict=True):
        assert np.array_equal(filled(polygon.numpy(), size), expected.numpy())


def test_recorded_points_of_masks(record):
    """With one part, several, holes, a line, nothing; the official ones are float32."""
    from seqtr_points import outline_points

    for told in record['mask_to_points']:
        points = outline_points(told['mask'].numpy(), told['num_ray'], told['center_sampling'])
        np.testing.assert_allclose(points, told['vertices'].numpy(), rtol=0, atol=1e-4)


def test_recorded_iou(record):
    """Of an object in several parts, the official IoU has the prediction alone below its line."""
    from mgfe_ris.evaluation import ScoringProtocol
    from mgfe_ris.evaluation.iou import intersection_and_union, iou_of

    for name, parts in (('is_crowd_0', 1), ('is_crowd_1', 2)):
        for pred, truth, expected in zip(record['masks'], record['gt_masks'], record['iou'][name], strict=True):
            pred, truth = pred[None].long(), truth[None].long()
            sample = dict(gt_sem_seg=dict(data=truth), ori_shape=_size(record), polygons=True, parts=parts)
            masks = ScoringProtocol(crowds=True).masks(sample, pred)
            shared, union = (count.item() for count in intersection_and_union(*masks, 255))
            assert float(iou_of(shared, union)) == pytest.approx(expected, abs=1e-12)


def test_the_parts_of_an_object_are_counted():
    """By the step that loads its mask; the published config asks for them."""
    load = TRANSFORMS.build(dict(type='LoadReferringMask'))
    square, other = [1, 1, 3, 1, 3, 3, 1, 3], [5, 5, 7, 5, 7, 7, 5, 7]
    for segmentation in ([square], [square, other]):
        results = dict(img_path='a.jpg', segmentation=segmentation, height=8, width=8, score_at='photo')
        assert load.transform(results)['parts'] == len(segmentation)
    cfg = load_config(PROJECT / 'seqtr_darknet53_refcoco.py', from_scratch=True)
    assert 'parts' in cfg.meta_keys and cfg.test_evaluator.protocols.own.crowds


def test_a_very_flat_photo_is_a_line():
    fit = TRANSFORMS.build(dict(type='FitAndPad', scale=(64, 64), divisor=32))
    results = fit.transform(dict(img=np.ones((1, 2000, 3), np.uint8)))
    assert results['fitted'] == (1, 64) and results['img'].shape == (32, 64, 3)


def test_its_operations_can_be_counted():
    from mgfe_ris.profiling import count_complexity

    with shapes_only():
        model = _small('seqtr_tiny_refshapes.py')
    assert count_complexity(model, words=20)


def test_recorded_training(record, model, config):
    """Three steps of the published config: losses, rates, norms of gradients, of weights and of their mean; statistics
    of layers whose weights are frozen move."""
    told = record['training']
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    schedules = [PARAM_SCHEDULERS.build({**one, 'optimizer': optimizer}) for one in config.param_scheduler]
    mean = MODELS.build({'type': 'WarmingAverage', 'model': model, 'decay': config.custom_hooks[-1].decay})
    trained = [p for p in model.parameters() if p.requires_grad]
    model.train()
    for step, expected in enumerate(told['losses']):
        _, losses = model.teach(*_inputs(record, told['inputs']), told['target'])
        assert losses['loss_points'].item() == pytest.approx(expected, abs=1e-9)
        optimizer.zero_grad()
        losses['loss_points'].backward()
        norm = nn.utils.clip_grad_norm_(trained, **config.optim_wrapper.clip_grad).item()
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        assert {group['lr'] for group in optimizer.param_groups} == {optimizer.param_groups[0]['lr']}
        assert optimizer.param_groups[0]['lr'] == pytest.approx(told['lrs'][step][0], rel=1e-12)
        optimizer.step()
        mean.update_parameters(model)
    assert norm_of(trained) == pytest.approx(told['param_norm_after'], rel=1e-9)
    averaged = dict(mean.module.named_parameters())
    assert norm_of(averaged[name] for name, p in model.named_parameters() if p.requires_grad) == pytest.approx(
        told['ema_norm_after'], rel=1e-9
    )
    state = model.to_official(model.state_dict())['state_dict']
    for name, expected in told['bn_after'].items():
        _close(state[name], expected, name)
    rates = []
    for _ in told['lr_per_epoch']:
        rates.append(optimizer.param_groups[0]['lr'])
        for schedule in schedules:
            schedule.step()
    assert rates == pytest.approx(told['lr_per_epoch'], rel=1e-9)


def test_recorded_groups_are_those_of_the_config(record, model, config):
    """What is trained, at which rate, by which settings; the rest is frozen."""
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    ours = official_parameters(model, 'state_dict')
    (told,) = record['training']['groups']
    assert {name for name, p in ours.items() if p.requires_grad} == set(told['names'])
    for group in wrapper.param_groups:
        for key in ('eps', 'weight_decay', 'amsgrad'):
            assert group[key] == told[key], key
        assert tuple(group['betas']) == tuple(told['betas']) and group['lr'] == told['initial_lr']


def test_recorded_weights_come_back_bit_by_bit(record):
    from seqtr_checkpoints import from_seqtr, to_seqtr

    state = record['state_dict']
    back = to_seqtr(from_seqtr({'state_dict': {f'module.{name}': value for name, value in state.items()}}))
    assert back['state_dict'].keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in back['state_dict'].items())
    assert from_seqtr({'state_dict': {}, 'ema_state_dict': state}).keys() == from_seqtr(state).keys()
    with pytest.raises(ValueError, match='no names of SeqTR'):
        from_seqtr({'classifier.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match='several tasks'):
        from_seqtr({**state, 'head.task_embedding': torch.zeros(2, 4)})


def test_a_full_model_has_the_official_size():
    """In millions of parameters, all and trained."""
    with shapes_only():
        model = build_model(load_config(PROJECT / 'seqtr_darknet53_refcoco.py', from_scratch=True))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(106.98, abs=0.005)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) / 1e6 == pytest.approx(53.21, abs=0.005)
    parts = dict(encoder=56.3, text_encoder=5.2, fusion=36.6, transformer=8.8)
    for name, expected in parts.items():
        assert sum(p.numel() for p in getattr(model, name).parameters()) / 1e6 == pytest.approx(expected, abs=0.06)


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_build_and_train(name):
    """A step of each, small; what is trained gets gradients."""
    model = _small(name).train()
    samples = [
        SegDataSample(metainfo=dict(sentence='the red ring'), gt_sem_seg=PixelData(data=torch.zeros(1, 64, 96).long()))
        for _ in range(2)
    ]
    for i, sample in enumerate(samples):
        sample.gt_sem_seg.data[:, 10 + i : 40, 20:60] = 1
    data = model.data_preprocessor(
        dict(inputs=[torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8) for _ in samples], data_samples=samples),
        True,
    )
    (loss,) = model(**data, mode='loss').values()
    loss.backward()
    assert loss > 0 and all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    assert any(p.grad.any() for p in model.encoder.layers[-1].parameters())


def _small(name: str) -> nn.Module:
    return build_model(load_config(PROJECT / name, SMALL, from_scratch=True))


def test_shuffled_points_are_those_of_the_truth():
    """The same points, in one order for the whole batch, in some of its samples."""
    from seqtr_points import to_sequence

    torch.manual_seed(0)
    model = _small('seqtr_tiny_refshapes.py')
    model.shuffled = 0.5
    said: list[Tensor] = []
    model.transformer.register_forward_hook(lambda module, inputs, out: said.append(inputs[2]))
    points = torch.rand(16, 2, model.points) * 60
    ids = torch.randint(5, 100, (16, 20))
    model.teach(torch.rand(16, 3, 64, 64), ids, torch.ones_like(ids, dtype=torch.bool), points)
    plain = to_sequence(points, (64, 64), model.bins)
    moved = (said[0] != plain).any(1)
    assert 0 < moved.sum() < 16
    sort = lambda x: x[:, :-1].unflatten(1, (-1, 2)).mul(torch.tensor([1000, 1])).sum(2).sort(1).values  # noqa: E731
    assert torch.equal(sort(said[0]), sort(plain))


def test_a_photo_of_another_shape_finds_its_way_back(tmp_path):
    """Photo and mask are fitted and padded alike, and where the photo lies is said."""
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (40, 100, 3), dtype=np.uint8)
    mask = np.zeros((40, 100), np.uint8)
    mask[10:30, 20:60] = 1
    results = dict(img=photo, gt_seg_map=mask, seg_fields=['gt_seg_map'])
    results = TRANSFORMS.build(dict(type='FitAndPad', scale=(64, 64), divisor=32)).transform(results)
    assert results['img'].shape == (32, 64, 3) and results['fitted'] == (26, 64) and results['img_shape'] == (32, 64)
    assert not results['img'][26:].any() and not results['gt_seg_map'][26:].any()
    (x, _, left), (_, y, upper) = results['to_input']
    ys, xs = np.nonzero(results['gt_seg_map'])
    assert xs.min() == pytest.approx(x * 20 + left, abs=1) and ys.max() == pytest.approx(y * 29 + upper, abs=1)


def test_padding_is_told_to_the_model():
    model = _small('seqtr_tiny_refshapes.py')
    sample = SegDataSample(metainfo=dict(sentence='the red ring', fitted=(20, 64)))
    photo = torch.full((3, 64, 64), 7, dtype=torch.uint8)
    image = model.data_preprocessor(dict(inputs=[photo], data_samples=[sample]))['inputs']
    assert image.shape == (1, 4, 64, 64) and image[0, 3, :20].all() and not image[0, 3, 20:].any()
    assert (image[0, :3] == 7).all()


def test_bert_may_read_the_words():
    """Whose vectors are of another width than the map."""
    config = dict(
        model_type='bert',
        vocab_size=420,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=20,
    )
    cfg = load_config(PROJECT / 'seqtr_tiny_refshapes.py', SMALL, from_scratch=True)
    cfg.model.text_encoder = dict(type='HFTextEncoder', sentence='mean', config=config)
    model = build_model(cfg).eval()
    ids = torch.randint(5, 100, (2, 20))
    with torch.no_grad():
        assert model.segment(torch.rand(1, 3, 64, 64), ids, torch.ones_like(ids).bool()).shape == (2, 1, 12, 2)
    cfg.model.text_encoder.sentence = None
    with pytest.raises(ValueError, match=r"set text_encoder\.sentence='mean'"):
        build_model(cfg)


def test_its_padding_must_not_be_trimmed():
    options = {**SMALL, 'model.data_preprocessor.tokenizer.trim': True}
    with pytest.raises(ValueError, match='reads padding'):
        build_model(load_config(PROJECT / 'seqtr_tiny_refshapes.py', options, from_scratch=True))


def test_an_official_file_becomes_a_model_that_infers(tmp_path):
    """Its mask is that of its points, at the photo's size; a pixel has no score."""
    torch.manual_seed(0)
    model = _small('seqtr_tiny_refshapes.py')
    file = tmp_path / 'official.pth'
    torch.save(model.to_official(model.state_dict()), file)
    save_converted(model, convert_checkpoint(file, model.from_official), file, tmp_path / 'model')
    inferencer = RISInferencer(tmp_path / 'model')
    for name, value in inferencer.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    photo = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    result = inferencer(photo, 'the red ring')
    assert result.mask.shape == (48, 80) and result.score is None and result.confidence is None
    fitted = TRANSFORMS.build(dict(type='FitAndPad', scale=(256, 256))).transform(dict(img=photo[..., ::-1]))
    sample = SegDataSample(metainfo=dict(sentence='the red ring', fitted=fitted['fitted']))
    image = torch.from_numpy(fitted['img'].transpose(2, 0, 1).copy())
    data = model.data_preprocessor(dict(inputs=[image], data_samples=[sample]))
    with torch.no_grad():
        (polygon,) = inferencer.model.segment(data['inputs'], data['token_ids'], data['word_mask'])
    assert np.array_equal(filled((polygon / 3.2).numpy(), (48, 80)), result.mask)


def test_a_full_model_has_the_official_operations():
    """In billions of multiply-accumulates, 37 numbers said without keeping anything: layers of one number, times 1, 2,
    ... 37; and the recurrent network's products, of 15 words in two directions. Attention's own layers, which are
    called ``out``, ``query`` and so on here, are not counted there."""
    with shapes_only():
        model = build_model(load_config(PROJECT / 'seqtr_darknet53_refcoco.py', from_scratch=True)).eval()
    counts = {'once': 0, 'each': 0}

    def count(module, inputs, out, times):
        counts[times] += out.numel() * module.weight[0].numel()

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) or (isinstance(module, nn.Linear) and re.search('linear|predictor', name)):
            said = name.startswith(('transformer.decoder', 'transformer.predictor'))
            module.register_forward_hook(partial(count, times='each' if said else 'once'))
    with torch.no_grad(), torch.device('meta'):
        ids = torch.ones(1, 15, dtype=torch.long)
        x, padding = model.read(torch.empty(1, 3, 640, 640), ids, ids.bool())
        model.transformer(x, padding, torch.zeros(1, 37, dtype=torch.long))
    words = 2 * 15 * 3 * 512 * (300 + 512)
    total = counts['once'] + counts['each'] / 37 * sum(range(1, 38)) + words
    assert total / 1e9 == pytest.approx(82.5, abs=0.05)
