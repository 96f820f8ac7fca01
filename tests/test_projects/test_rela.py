"""ReLA against numbers recorded from its official code."""

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import MultiStepLR, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS, MODELS
from recorded_sizes import bert_of, swin_of
from records import keep, norm_of, project_of, record_of
from slow import slow
from torch import Tensor

from mgfe_ris.apis import RISInferencer, build_model, export_onnx, input_size, load_config, save_converted
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.evaluation import check_metric_names
from mgfe_ris.models.base import write_masks
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.encoders.layout import to_map
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.profiling import count_complexity
from mgfe_ris.structures import MaskRule, SegDataSample, mask_of

record = record_of('rela')
project = project_of('rela')
CLASS_WEIGHT = tuple(float(np.float32(weight)) for weight in (0.9, 1.1))
"""Float32 numbers, in a run in float64, too."""


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, its scalar g included, in float64, without dropout; all of it is trained."""
    import rela

    init_default_scope('mmseg')
    sizes, state = record['config'], rela.from_rela(record['state_dict'], lang_weight=True)
    positions = len(state['text_encoder.model.embeddings.position_embeddings.weight'])
    model = MODELS.build(
        dict(
            type=rela.ReLA,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            text_encoder=bert_of(sizes, positions),
            encoder=swin_of(sizes),
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


def test_recorded_features(record, model):
    """Whatever was recorded of text, stages, pixel decoder and head."""
    seen: dict = {}
    keep(model.text_encoder, seen, 'text', lambda out: out.words)
    for stage in range(4):
        keep(getattr(model.encoder, f'norm{stage}'), seen, f'res{stage + 2}')
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
    keep(model.head.read_words.read, seen, 'region_language', lambda out: out.transpose(0, 1))
    for i, layer in enumerate(model.head.layers):
        for kind in ('image', 'region', 'ffn'):
            keep(getattr(layer, kind), seen, f'region_{kind}{i}', lambda out: out.transpose(0, 1))
    keep(model.pixel_decoder, seen, 'pixels')
    size = record['inputs']['image'].shape[-2:]
    with torch.no_grad():
        found = (
            model.find_regions(*inputs) if len(inputs) == 3 else model.head(*model.pixel_decoder(inputs[0]), inputs[1])
        )
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
    """Three steps of AdamW after a clip of what is trained: losses, terms, rates and norms of gradients."""
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
        assert norm_of(p.grad for p in names.values()) == pytest.approx(told['grad_norms'][step], rel=1e-8)
        assert norm_of(p.grad for p in grouped) == pytest.approx(told['grouped_norms'][step], rel=1e-8)
        assert optimizer.param_groups[0]['lr'] == pytest.approx(told['lrs'][step])
        torch.nn.utils.clip_grad_norm_(grouped, 0.01)
        optimizer.step()
        schedule.step()


LOSSES = ('loss_mask', 'loss_minimap', 'loss_no_target')


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


def test_recorded_groups_are_those_of_the_config(record, model, project):
    """Decay of all but norms, embeddings of regions, tables of positions; of BERT, ten layers, their norms too."""
    cfg = load_config(project / 'rela_swin-base_grefcoco.py')
    told = record['training']
    frozen = {official_name(name): p for name, p in model.named_parameters()}
    for name in told['in_no_group']:
        frozen[name].requires_grad_(False)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    assert wrapper.clip_grad_kwargs == dict(max_norm=0.01)
    decay = {id(p): group['weight_decay'] for group in wrapper.param_groups for p in group['params']}
    names = {official_name(name): decay[id(p)] for name, p in model.named_parameters() if p.requires_grad}
    assert names == {name: group['weight_decay'] for group in told['groups'] for name in group['params']}
    assert {group['lr'] for group in wrapper.param_groups} == {told['lrs'][0]}
    beyond = {int(name.split('layer.')[1].split('.')[0]) for name in told['in_no_group'] if 'layer.' in name}
    assert min(beyond) == cfg.model.text_encoder.trainable_layers


def test_recorded_evaluation(record, project):
    """The official evaluator's numbers, of masks as they are; and through the metric of the config, of logits."""
    cases, told = record['metrics']['cases'], record['metrics']['results']
    cfg = load_config(project / 'rela_swin-base_grefcoco.py')
    metric = METRICS.build(cfg.test_evaluator)
    samples = []
    for truth, mask, says in zip(cases['truth'], cases['predicted'], cases['no_target'], strict=True):
        sample = SegDataSample(gt_sem_seg=PixelData(data=truth[None]))
        write_masks(torch.stack([-mask, mask])[None].float(), [sample], MaskRule(), (2 * says[None] - 1).float())
        assert sample.pred_sem_seg.data.equal((mask * (1 - says))[None])
        samples.append(sample.to_dict())
    metric.process({}, samples)
    found = metric.percentages(metric.results)
    for name, value in told.items():
        ours, scale = (name.replace('_', '-'), 100) if name.endswith('acc') else (name, 1)
        assert found[f'evaluator/{ours}'] == pytest.approx(scale * value, abs=1e-9), name
    missed = [r for r in metric.results if r['no_target'] == 1 and r['truth_pixels']]
    assert missed and found['cIoU'] > found['evaluator/cIoU'], 'a mask that is cleared leaves the union'


def test_gates_that_begin_with_zeros_stay_so(project):
    """And so the words come into no stage of the encoder; only what is handed to the pixel decoder has read them."""
    model = build_model(load_config(project / 'rela_tiny_refshapes.py'))
    photo, (ids, mask) = torch.randn(2, 3, 64, 64), words_of(model, 'red ring', 'the blue ball on the left')
    model.segment(photo, ids, mask).square().sum().backward()
    gates = [p for name, p in model.named_parameters() if '.gate.' in name]
    assert len(gates) == 6, 'two matrices in each of three; there is none after the last stage'
    assert all(p.eq(0).all() and p.grad.eq(0).all() for p in gates)


def words_of(model, *sentences: str) -> tuple[Tensor, Tensor]:
    return model.data_preprocessor.tokenizer(sentences)


@pytest.fixture
def full(project):
    with shapes_only():
        return build_model(load_config(project / 'rela_swin-base_grefcoco.py', from_scratch=True)).eval()


def test_a_full_model_has_the_official_size(full):
    """In millions of parameters."""
    parts = {
        96.100: (full.encoder, full.neck),
        108.892: (full.text_encoder,),
        5.544: (full.pixel_decoder,),
        14.986: (full.head,),
    }
    assert _count(full) == 225_521_469 == sum(_count(part) for modules in parts.values() for part in modules)
    for millions, modules in parts.items():
        assert sum(map(_count, modules)) / 1e6 == pytest.approx(millions, abs=5e-4)
    trained = sum(p.numel() for p in full.text_encoder.parameters() if p.requires_grad)
    assert trained == 10 * _count(full.text_encoder.model.encoder.layer[0])


@slow('5 s')
def test_a_full_model_has_the_official_operations(full):
    """In billions of multiply-accumulates without BERT, as ``thop`` counts the official model."""
    # the official head asks regions after each layer what only the last answer is read of; thop knows no group norms
    asked_in_vain = 9 * (_on_regions(full.head.no_target) + _on_regions(full.head.minimap))
    group_norms = 4 * 256 * (15**2 + 30**2 + 60**2 + 2 * 120**2)
    counted = count_complexity(full).image_modules + (asked_in_vain - group_norms) / 1e9
    assert counted == pytest.approx(117.83, abs=0.005)


def test_swin_tiny_by_the_options_of_the_page(project):
    """Depths, heads, windows and widths of Swin-T (Liu et al., 2021, section 3.3), in the place of Swin-B's."""
    readme = (project / 'README.md').read_text(encoding='utf-8')
    options = re.search(r'(?s)--cfg-options (.*?)```', readme)[1].replace('\\\n', ' ').split()
    assert 'swin_tiny' in options[-1], 'not the weights of Swin-B'
    with shapes_only():
        model = build_model(load_config(project / 'rela_swin-base_grefcoco.py', options, from_scratch=True))
    stages = model.encoder.stages
    assert [len(stage.blocks) for stage in stages] == [2, 2, 6, 2]
    tables = [stage.blocks[0].attn.w_msa.relative_position_bias_table.shape for stage in stages]
    assert tables == [((2 * 7 - 1) ** 2, heads) for heads in (3, 6, 12, 24)]
    assert list(model.encoder.out_channels) == [96, 192, 384, 768]
    assert _count(model.encoder) == pytest.approx(27.5e6, rel=0.01)  # 28.3 with the classifier, without its norms


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _on_regions(module: torch.nn.Module) -> int:
    """Multiply-accumulates of 100 regions."""
    return 100 * sum(m.weight.numel() for m in module.modules() if isinstance(m, torch.nn.Linear))


SMALL = {
    'model.text_encoder.config': dict(
        model_type='bert', hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ),
    'model.encoder.embed_dims': 8,
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.num_heads': (1, 1, 2, 2),
    'model.encoder.window_size': 4,
    'model.neck.channels': (8, 16, 32, 64),
    'model.neck.text_channels': 16,
    'model.pixel_decoder': dict(channels=32, mask_channels=16, layers=1, heads=4, hidden=32),
    'model.head': dict(channels=16, grid=4, layers=3, heads=2, hidden=32),
}
"""Options that leave of a full config what a test has time for."""


@pytest.mark.parametrize('data', ['refcoco', 'refcoco+', 'gref-umd', 'gref-google', 'grefcoco'])
def test_a_config_is_the_official_recipe(project, data):
    """48 sentences a step on 8 GPUs, AdamW at 1e-5 for 150,000 steps; masks of 480 x 480."""
    cfg = load_config(project / f'rela_swin-base_{data}.py')
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (6, 48)
    assert cfg.train_dataloader.dataset.per_sentence and input_size(cfg) == (480, 480)
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-5, weight_decay=0.05)
    assert (cfg.param_scheduler.milestones, cfg.train_cfg.max_iters) == ([110_000, 140_000], 150_000)
    assert cfg.model.data_preprocessor.tokenizer == dict(pretrained='bert-base-uncased', max_tokens=20)
    assert 'mask' not in cfg.model and cfg.test_dataloader.dataset.get('score_at', 'input') == 'input'
    assert cfg.train_dataloader.dataset.get('no_target', False) == (data == 'grefcoco')
    metrics = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    check_metric_names([METRICS.build(metric) for metric in metrics])
    assert metrics[-1].conventions == ('evaluator', 'paper')


@pytest.mark.parametrize('config', ['rela_swin-base_grefcoco.py', 'rela_tiny_refshapes.py'])
def test_configs_build_and_train(project, config):
    """Two steps, one sentence without a target, move all that is trained but the gates; masks have the photo's size."""
    torch.manual_seed(0)
    cfg = load_config(project / config, {} if 'tiny' in config else SMALL, from_scratch=True)
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch, samples = _batch((64, 64))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(2):  # the first one moves what zeros at the start hide from the loss
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        assert losses.keys() == set(LOSSES)
        wrapper.update_params(sum(losses.values()))
    for name, parameter in model.named_parameters():
        moves = parameter.requires_grad and '.gate.' not in name
        assert moves != torch.equal(parameter, before[name]), name
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)
    assert all(sample.no_target_logit.shape == () for sample in tested)


def _batch(size: tuple[int, int]) -> tuple[dict, list[SegDataSample]]:
    samples = [SegDataSample(metainfo=dict(sentence=text, img_shape=size)) for text in ('red ring', 'no ball')]
    truth = torch.zeros(1, *size, dtype=torch.int64)
    truth[:, 10:40, 20:50] = 1
    for sample, mask in zip(samples, (truth, truth * 0), strict=True):
        sample.gt_sem_seg = PixelData(data=mask)
    return dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples), samples


def test_a_cell_of_the_minimap_is_the_objects_if_its_middle_is(project):
    """Whole, that is: of a grid of 10 on 40 pixels, the 2 x 2 pixels in the middle of each cell of 4 x 4."""
    import rela

    target = torch.zeros(3, 40, 40, dtype=torch.int64)
    target[0, 1:3, 5:7] = 1  # of row 0, column 1
    target[1, 1:3, 5:6] = 1  # half of it
    target[2, :, 20:] = 1
    target[2, 20:] = 255
    cells = rela.minimap_of(target, 10).view(3, 10, 10)
    expected = torch.zeros(3, 10, 10, dtype=torch.int64)
    expected[0, 0, 1] = 1
    expected[2, :5, 5:] = 1
    assert torch.equal(cells, expected)


@pytest.fixture
def tiny(project):
    torch.manual_seed(0)
    return build_model(load_config(project / 'rela_tiny_refshapes.py')).eval()


@pytest.mark.parametrize('bias', [-50.0, 50.0])
def test_a_sentence_that_means_nothing(tiny, bias):
    """Has an empty mask whatever the pixels and the threshold say, and the result says so."""
    with torch.no_grad():
        tiny.head.no_target[-1].bias[1] = bias
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result = RISInferencer(tiny)(photo, 'the red ring', threshold=1e-6)
    assert result.mask.shape == (40, 60) and (result.score > 0.5).any()
    assert (result.no_target > 0.5, result.mask.any()) == (bias > 0, bias < 0)
    assert result.to_json()['no_target'] == round(result.no_target, 4)
    assert f'no_target={result.no_target:.3f}' in repr(result)


def test_sentences_about_one_photo(tiny):
    """Give the same as each with a photo of its own."""
    photo = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    words = words_of(tiny.double(), 'red ring', 'the blue ball on the left')
    with torch.no_grad():
        alone, whole = tiny.segment(photo, *words), tiny.segment(photo.expand(2, -1, -1, -1), *words)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'data_preprocessor.tokenizer.trim': True}, 'reads padding'),
        ({'neck.channels': (16, 32, 64, 64)}, 'expected the same'),
        ({'neck.text_channels': 64}, 'the words of HFTextEncoder have 128 channels'),
        ({'head.channels': 62, 'head.heads': 2}, r'head\.channels \(62\) must be a multiple of 4'),
        ({'head.heads': 3}, r'channels \(64\) must be a multiple of heads \(3\)'),
        ({'pixel_decoder.channels': 48}, r'channels \(48\) must be a multiple of 32'),
        ({'pixel_decoder.heads': 3}, r'channels \(64\) must be a multiple of heads \(3\)'),
    ],
)
def test_parts_that_do_not_fit_are_refused(project, wrong, message):
    options = {f'model.{key}': value for key, value in wrong.items()}
    with pytest.raises(ValueError, match=message):
        build_model(load_config(project / 'rela_tiny_refshapes.py', options))


OFFICIAL = {
    'sem_seg_head.predictor.RIA_layers.0.norm.weight': torch.ones(1),
    'sem_seg_head.pixel_decoder.adapter_1.norm.weight': torch.full((1,), 2.0),
    'sem_seg_head.predictor.query_feat.weight': torch.full((1, 1), 3.0),
    'sem_seg_head.predictor.lang_weight': torch.tensor(4.0),
    'text_encoder.embeddings.position_ids': torch.arange(1)[None],
}


@pytest.mark.parametrize(
    'found, replaced',
    [
        ('pixel_decoder.', 'pixel_decoder.'),
        ('.pixel_decoder.', '.'),  # before version 2
        ('.pixel_decoder.', '.pixel_decoder.pixel_decoder.'),  # renamed once too often
        ('query_feat', 'static_query'),
    ],
)
def test_names_of_other_days_are_known(project, found, replaced):
    import rela_checkpoints

    ours = rela_checkpoints.from_rela({'model': {k.replace(found, replaced): v for k, v in OFFICIAL.items()}})
    told = {name: value.flatten().item() for name, value in ours.items()}
    assert told == {
        'head.layers.0.image.norm.weight': 1,
        'pixel_decoder.lateral.1.weight': 2,
        'head.regions.weight': 3,
        'head.read_words.weight': 0,  # which the official code does not load
    }


def test_names_of_other_models_are_refused(project):
    import rela_checkpoints

    with pytest.raises(ValueError, match='no names of ReLA'):
        rela_checkpoints.from_rela({'backbone.norm0.weight': torch.zeros(1)})
    for name in ('backbone.res2.0.conv1.weight', 'sem_seg_head.predictor.class_embed.weight'):
        with pytest.raises(ValueError, match=name):
            rela_checkpoints.from_rela({**OFFICIAL, name: torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: head\.other'):
        rela_checkpoints.to_rela({'head.other': torch.zeros(1)})


def test_an_official_file_says_its_versions(project, tmp_path):
    """Without which the official code changes names that are right."""
    import rela_checkpoints

    torch.save(rela_checkpoints.to_rela({'head.regions.weight': torch.zeros(1, 1)}), tmp_path / 'rela.pth')
    state = torch.load(tmp_path / 'rela.pth', weights_only=True)['model']
    assert list(state) == ['sem_seg_head.predictor.query_feat.weight']
    versions = state._metadata
    assert versions['sem_seg_head']['version'] == versions['sem_seg_head.predictor']['version'] == 2


def test_an_official_file_becomes_a_folder(project, tmp_path):
    """Which the inferencer opens, and which gives the official file again."""
    model = build_model(load_config(project / 'rela_swin-base_grefcoco.py', SMALL, from_scratch=True))
    official = model.to_official(model.state_dict())
    torch.save(official, tmp_path / 'rela.pth')
    state = convert_checkpoint(tmp_path / 'rela.pth', model.from_official)
    save_converted(model, state, 'rela.pth', tmp_path / 'rela')
    inferencer = RISInferencer(tmp_path / 'rela')
    for name, value in inferencer.model.to_official(inferencer.model.state_dict())['model'].items():
        assert torch.equal(value, official['model'][name]), name


@slow('half a minute each')
@pytest.mark.parametrize('config', ['rela_tiny_refshapes.py', 'rela_swin-base_grefcoco.py'])
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path, config):
    """And says whether there is a target: for batches of several sizes, and at the photo's size."""
    torch.manual_seed(0)
    options = {} if 'tiny' in config else {**SMALL, 'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    model = build_model(load_config(project / config, options, from_scratch=True)).eval()
    export_onnx(model, tmp_path / 'onnx')
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
    assert same.no_target == pytest.approx(result.no_target, abs=1e-4)
