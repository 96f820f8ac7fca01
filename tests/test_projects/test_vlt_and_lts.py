"""VLT and LTS against numbers recorded from their code by LAVT's authors."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS, PARAM_SCHEDULERS
from recorded_sizes import bert_of, swin_of
from records import ROOT, keep, norm_of, official_parameters, record_of
from slow import slow
from torch import Tensor, nn

from mgfe_ris.apis import RISInferencer, build_model, export_onnx, input_size, load_config, save_converted
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.profiling import count_complexity
from mgfe_ris.structures import SegDataSample

record = record_of('vlt', 'lts')
SYSTEMS = ('vlt', 'lts')
DATA = ('refcoco', 'refcoco+', 'gref-umd', 'gref-google')
SMALL = {
    'model.text_encoder.config': dict(
        model_type='bert', hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ),
    'model.encoder.embed_dims': 8,
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.num_heads': (1, 1, 2, 2),
    'model.encoder.window_size': 4,
}
"""Options that leave of a full config what a test has time for."""
NAMES = {
    'vlt': {
        'lang_proj': 'join.sentence',
        'joint_threshold': 'join.gated',
        'fuse_1_2': 'join.join43',
        'fuse_2_3': 'join.join432',
        'hallucinate_result_of_23': 'join.again',
        'fuse_again': 'join.join_all.0',
        'last_project': 'join.join_all.1',
        'query_generation.project_1': 'make_queries.look.2',
        'query_generation.project_query': 'make_queries.query',
        'query_generation': 'make_queries',
        'transformer_fusion.transformer_encoder': 'transformer.encoder.1',
        'transformer_fusion': 'transformer',
        'query_balancing.gate_proj': 'balance.gate',
        'query_balancing': 'balance',
        'q_to_spatial': 'draw',
        'spatial_refine': 'refine',
        'decoding.conv1_3': 'decode.3.0',
        'decoding': 'decode',
    },
    'lts': {
        'vis_proj': 'see4',
        'lang_gen': 'sentence.2',
        'lang_proj': 'sentence.4',
        'conv4': 'join4',
        'conv3_v': 'see3',
        'conv3': 'join3',
        'conv2_v': 'see2',
        'lang_filter': 'locate',
        'aspp': 'aspp',
        'conv1_1': 'classify',
        'last_upsample': '',
    },
}
"""Modules whose outputs may be recorded, in ``classifier.`` there and in ``head.`` here."""
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    'make_queries.query': lambda x: x.relu().mT,
    'make_queries': lambda x: x.transpose(0, 1),
    'transformer.encoder.1': lambda x: x.transpose(0, 1),
    'transformer': lambda x: x.transpose(0, 1),
    'balance.gate': lambda x: x.mT,
    'balance': lambda x: x.mT,
    'draw': lambda x: x.relu().mT,
    'sentence.2': lambda x: x[:, None],
    'sentence.4': lambda x: x[:, None],
}
"""Theirs of an output of ours, where it differs."""


@pytest.fixture(autouse=True)
def projects(monkeypatch) -> Iterator[Path]:
    """Modules of both can be imported in these tests."""
    for system in SYSTEMS:
        monkeypatch.syspath_prepend(ROOT / 'projects' / system)
    yield ROOT / 'projects'


def class_of(system: str) -> type:
    return getattr(importlib.import_module(system), system.upper())


def config_of(system: str, rest: str) -> Path:
    return ROOT / f'projects/{system}/{system}_{rest}.py'


@pytest.fixture
def config(record):
    """The published one, for the record's sizes."""
    cfg = load_config(config_of(record['system'], 'swin-base_refcoco'), from_scratch=True)
    theirs = record['config']
    sizes = dict(
        embed_dim=theirs['embed'],
        depths=theirs['depths'],
        num_heads=theirs['heads'],
        window_size=theirs['window'],
        vocab=theirs['vocab'],
        text_dim=theirs['bert'],
        text_layers=theirs['bert_layers'],
        text_heads=theirs['bert_heads'],
        text_ffn=theirs['bert_inter'],
    )
    positions = len(record['state_dict']['text_encoder.embeddings.position_embeddings.weight'])
    cfg.model.data_preprocessor = dict(type='BaseDataPreprocessor')
    cfg.model.encoder.update(swin_of(sizes))
    cfg.model.text_encoder.update(bert_of(sizes, positions))
    if record['system'] == 'vlt':
        cfg.model.head.side = theirs['size'] // 16
    return cfg


@pytest.fixture
def model(record, config):
    """Of the record's weights, in float64."""
    model = MODELS.build(config.model).double()
    state = type(model).from_official({'model': record['state_dict']})
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.eval()


def inputs_of(told: dict) -> tuple[Tensor, Tensor, Tensor]:
    inputs = told['inputs']
    return inputs['image'], inputs['text'], inputs['attention_mask'].bool()


def test_recorded_features(record, model):
    """Whatever was recorded of text, maps and heads."""
    seen: dict[str, Tensor] = {}
    keep(model.text_encoder.model.encoder.layer[0].output, seen, 'text_encoder.encoder.layer.0')
    keep(model.text_encoder, seen, 'text_encoder.encoder', lambda out: out.words)
    for i in (1, 2, 3):
        keep(model.encoder.get_submodule(f'norm{i}'), seen, f'backbone.norm{i}')
    for theirs, ours in NAMES[record['system']].items():
        keep(model.head.get_submodule(ours), seen, f'classifier.{theirs}', LAYOUTS.get(ours, lambda out: out))
    with torch.no_grad():
        model.segment(*inputs_of(record))
    assert record['features'].keys() <= seen.keys()
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def test_recorded_logits(record, model):
    with torch.no_grad():
        logits = model.segment(*inputs_of(record))
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)
    assert torch.equal(logits.argmax(1).bool(), record['masks'])


def test_recorded_training(record, model, config):
    """Three steps of the published config: losses, rates, norms of gradients, with and without those of BERT's layers
    that are not trained, and of the trained weights in the end."""
    told = record['training']
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    poly = {**config.param_scheduler, 'by_epoch': False, 'end': told['total_steps']}
    del poly['convert_to_iter_based']
    schedule = PARAM_SCHEDULERS.build(dict(poly, optimizer=optimizer))
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target[None])) for target in told['target']]
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    model.requires_grad_(True).train()
    for step, expected in enumerate(told['losses']):
        (loss,) = model(*inputs_of(told), samples, mode='loss').values()
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        assert norm_of(p.grad for p in model.parameters()) == pytest.approx(
            told['grad_norms_all_parameters'][step], rel=1e-8
        )
        for parameter in frozen:
            parameter.grad = None
        assert norm_of(p.grad for p in model.parameters()) == pytest.approx(told['grad_norms'][step], rel=1e-8)
        (rate,) = set(told['lrs'][step])  # of all groups
        assert all(group['lr'] == pytest.approx(rate, rel=1e-12) for group in optimizer.param_groups)
        optimizer.step()
        schedule.step()
    for parameter in frozen:
        parameter.requires_grad_(False)
    trained = norm_of(p for p in model.parameters() if p.requires_grad)
    assert trained == pytest.approx(told['param_norm_after'], rel=1e-9)


def test_recorded_groups_are_those_of_the_config(record, model, config):
    """Each parameter in one of them, at its rate and decay, or not trained."""
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    ours = {id(p): group for group in wrapper.param_groups for p in group['params']}
    left = official_parameters(model, 'model', r'(relative_position_index|pos_encoder\.pe)$')
    assert len(left) == len(list(model.parameters()))
    for group in record['training']['groups']:
        for name in group['names']:
            parameter = left.pop(name)
            assert parameter.requires_grad, name
            assert ours[id(parameter)]['lr'] == pytest.approx(group['initial_lr']), name
            assert ours[id(parameter)]['weight_decay'] == group['weight_decay'], name
    assert not any(parameter.requires_grad for parameter in left.values())


def test_recorded_weights_come_back_bit_by_bit(record):
    """But for the sines of VLT's positions, which we compute, and of which the record has the first."""
    model, state = class_of(record['system']), record['state_dict']
    back = model.to_official(model.from_official({f'module.{k}': v for k, v in state.items()}))
    assert back['model'].keys() == state.keys()
    for name, value in back['model'].items():
        if name.endswith('pos_encoder.pe'):
            assert value.shape == (5000, 1, state[name].shape[2])
            torch.testing.assert_close(value[: len(state[name])].double(), state[name].double(), rtol=0, atol=1e-6)
        else:
            assert torch.equal(value, state[name]) and value.dtype == state[name].dtype, name
    again = model.from_official(back)
    assert all(torch.equal(value, again[name]) for name, value in model.from_official(state).items())


@pytest.fixture(params=SYSTEMS)
def full(request):
    with shapes_only():
        return build_model(load_config(config_of(request.param, 'swin-base_refcoco'), from_scratch=True)).eval()


def _count(parameters) -> float:
    return sum(p.numel() for p in parameters) / 1e6


def test_a_full_model_has_the_official_size(full):
    """In millions of parameters."""
    everything, head, trained = (219.02, 23.25, 181.00) if type(full).__name__ == 'VLT' else (207.91, 12.14, 169.90)
    assert _count(full.parameters()) == pytest.approx(everything, abs=5e-3)
    assert _count(full.encoder.parameters()) == pytest.approx(86.88, abs=5e-3)
    assert _count(full.text_encoder.parameters()) == pytest.approx(108.89, abs=5e-3)
    assert _count(full.head.parameters()) == pytest.approx(head, abs=5e-3)
    assert _count(p for p in full.parameters() if p.requires_grad) == pytest.approx(trained, abs=5e-3)


@slow('5 s each')
def test_a_full_model_has_the_official_operations(full):
    """In billions of multiply-accumulates, as ``thop`` counts the official model; it counts no attention's products."""
    counted = count_complexity(full, words=20)
    bert = full.text_encoder.model
    linear = [layer for layer in bert.modules() if isinstance(layer, nn.Linear)]
    norms = [layer for layer in bert.modules() if isinstance(layer, nn.LayerNorm)]
    text = 20 * (sum(layer.weight.numel() for layer in linear) + 4 * sum(layer.weight.numel() for layer in norms))
    # bilinear, 11 for each number, in modules of theirs that are functions here
    vlt = 256 * (60**2 + 120**2 + 240**2) + 1024 * 30**2
    twice = 11 * (vlt if type(full).__name__ == 'VLT' else 2 * 120**2)
    total = 139.3 if type(full).__name__ == 'VLT' else 106.1
    assert counted.image_modules + (text + twice) / 1e9 == pytest.approx(total, abs=0.05)
    if type(full).__name__ == 'LTS':  # windows of Swin, 144 x 144 scores each, are all that it has
        windows = sum(b * n * c for b, n, c in zip((2, 2, 18, 2), (100, 25, 9, 4), (128, 256, 512, 1024), strict=True))
        assert counted.image_attention == pytest.approx(2 * 144**2 * windows / 1e9)


@pytest.mark.parametrize('data', DATA)
@pytest.mark.parametrize('system', SYSTEMS)
def test_a_config_is_the_official_recipe(system, data):
    """32 photos of 480 pixels on 4 GPUs, AdamW, 40 epochs; masks by the larger logit, compared at 480 pixels."""
    cfg = load_config(config_of(system, f'swin-base_{data}'))
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (8, 32)
    assert input_size(cfg) == (480, 480)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 5e-5, 0.01)
    assert (cfg.param_scheduler.power, cfg.param_scheduler.end, cfg.train_cfg.max_epochs) == (0.9, 40, 40)
    assert 'clip_grad' not in cfg.optim_wrapper and 'mask' not in cfg.model
    assert cfg.model.data_preprocessor.tokenizer == dict(pretrained='bert-base-uncased', max_tokens=20)
    assert cfg.model.encoder.drop_path_rate == 0.3
    assert cfg.val_dataloader.dataset.get('score_at', 'input') == 'input'
    dataset = cfg.train_dataloader.dataset
    folder, split_by = {'gref-umd': ('refcocog', 'umd'), 'gref-google': ('refcocog', 'google')}.get(data, (data, 'unc'))
    assert (dataset.ann_folder, dataset.split_by) == (folder, split_by)


@pytest.mark.parametrize('rest', ['swin-base_refcoco', 'tiny_refshapes'])
@pytest.mark.parametrize('system', SYSTEMS)
def test_configs_build_and_train(system, rest):
    """Two steps move all that is trained; and a prediction has the photo's size."""
    torch.manual_seed(0)
    size = (64, 64)
    options = {} if 'tiny' in rest else {**SMALL, **({'model.head.side': 4} if system == 'vlt' else {})}
    cfg = load_config(config_of(system, rest), options, from_scratch=True)
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    samples = [SegDataSample(metainfo=dict(sentence=text, img_shape=size)) for text in ('red ring', 'blue ball')]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 2, (1, *size)))
    batch = dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    for _ in range(2):
        (loss,) = model(**model.data_preprocessor(batch, training=True), mode='loss').values()
        wrapper.update_params(loss)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert not torch.equal(parameter, before[name]), name
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in model.eval().test_step(batch))


@pytest.fixture(params=SYSTEMS)
def tiny(request):
    torch.manual_seed(0)
    return build_model(load_config(config_of(request.param, 'tiny_refshapes'))).eval()


def words_of(model, *sentences: str) -> tuple[Tensor, Tensor]:
    return model.data_preprocessor.tokenizer(sentences)


def test_sentences_about_one_photo(tiny):
    """Give the same as each with a photo of its own."""
    photo, words = torch.randn(1, 3, 64, 64), words_of(tiny, 'red ring', 'the blue ball on the left')
    with torch.no_grad():
        alone, whole = tiny.segment(photo, *words), tiny.segment(photo.expand(2, -1, -1, -1), *words)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1])


def test_padding_changes_nothing(tiny):
    photo, (ids, mask) = torch.randn(1, 3, 64, 64), words_of(tiny, 'red ring')
    padded = nn.functional.pad(ids, (0, 3)), nn.functional.pad(mask, (0, 3))
    with torch.no_grad():
        torch.testing.assert_close(tiny.segment(photo, *padded), tiny.segment(photo, ids, mask), rtol=0, atol=1e-5)


def test_a_batch_of_one_is_refused_in_training_alone(tiny):
    photo, words = torch.randn(1, 3, 64, 64), words_of(tiny, 'red ring')
    with torch.no_grad():
        assert tiny.segment(photo, *words).shape == (1, 2, 64, 64)
    with pytest.raises(ValueError, match=r'norms one value of each sample .* Set train_dataloader.batch_size to 2'):
        tiny.train().segment(photo, *words)


def test_lts_takes_photos_of_any_shape():
    model = build_model(load_config(config_of('lts', 'tiny_refshapes'))).eval()
    with torch.no_grad():
        assert model.segment(torch.zeros(1, 3, 72, 56), *words_of(model, 'red ring')).shape == (1, 2, 72, 56)


def test_vlt_refuses_photos_of_another_size():
    model = build_model(load_config(config_of('vlt', 'tiny_refshapes'))).eval()
    with pytest.raises(ValueError, match=r'stride 16 has 10 x 8 pixels, the queries are made for 8 x 8: train a model'):
        model.segment(torch.zeros(1, 3, 80, 64), *words_of(model, 'red ring'))


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'head.heads': 5}, 'head.heads: expected a divisor of 32, the finest map it reads; got 5'),
        ({'text_encoder.sentence': None}, "VLT reads the sentence as a whole: set text_encoder.sentence='mean'"),
        ({'encoder.out_indices': (2, 3)}, r'encoder.out_indices: expected three maps or more; got \(64, 128\)'),
    ],
)
def test_parts_that_do_not_fit_are_refused(wrong, message):
    options = {f'model.{key}': value for key, value in wrong.items()}
    with pytest.raises(ValueError, match=message):
        build_model(load_config(config_of('vlt', 'tiny_refshapes'), options))


@pytest.mark.parametrize(
    ('system', 'mark', 'own'), [('vlt', 'query_generation', 'project_2.weight'), ('lts', 'lang_filter', 'weight')]
)
def test_names_of_other_models_are_refused(system, mark, own):
    model, x = class_of(system), torch.zeros(1)
    with pytest.raises(ValueError, match=f'no names of {system.upper()}'):
        model.from_official({'backbone.patch_embed.proj.weight': x})
    for name in (f'classifier.{mark}.x', 'backbone.y', 'z'):
        with pytest.raises(ValueError, match=f'nothing here explains: {name}'):
            model.from_official({f'classifier.{mark}.{own}': x, name: x})
    with pytest.raises(ValueError, match=r'nothing here explains: head\.z'):
        model.to_official({'head.z': x})


def small_swin(system: str):
    """Of the shape of the published one, for photos of 64 pixels."""
    scale = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    options = {**SMALL, **scale, **({'model.head.side': 4} if system == 'vlt' else {})}
    torch.manual_seed(0)
    return build_model(load_config(config_of(system, 'swin-base_refcoco'), options, from_scratch=True)).eval()


@pytest.mark.parametrize('system', SYSTEMS)
def test_an_official_file_becomes_a_folder(system, tmp_path):
    """Which the inferencer opens."""
    model, file = small_swin(system), tmp_path / 'model_best.pth'
    torch.save({'epoch': 3, **model.to_official(model.state_dict())}, file)
    ours = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.data.zero_()
    save_converted(model, convert_checkpoint(file, model.from_official), file, tmp_path / system)
    inferencer = RISInferencer(tmp_path / system)
    for name, value in inferencer.model.state_dict().items():
        assert torch.equal(value, ours[name]), name
    result = inferencer(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), 'the red ring')
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.5)


@slow('half a minute for each')
@pytest.mark.parametrize('kind', ['tiny', 'swin'])
@pytest.mark.parametrize('system', SYSTEMS)
def test_a_graph_of_onnx_gives_the_same_mask(tmp_path, system, kind):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    torch.manual_seed(0)
    model = small_swin(system) if kind == 'swin' else build_model(load_config(config_of(system, 'tiny_refshapes')))
    assert export_onnx(model.eval(), tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
