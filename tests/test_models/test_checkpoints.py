"""Weights of others: the same numbers under our names, every name accounted for, and no code of a file run.

The other side is the class of Hugging Face, OpenMMLab or torchvision with random weights. Where the authors' own
class is not installed (the original Swin, DINO's ViT, LAVT), its names and its equations are written down here.
"""

import argparse
import math
import os
import pickle
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.nn.functional as F
import torchvision
import transformers
from mmengine.logging import MessageHub
from mmengine.registry import DefaultScope
from mmseg.models.backbones import ResNet
from mmseg.models.backbones import SwinTransformer as MMSegSwin
from mmseg.registry import MODELS
from safetensors.torch import load_file, save_file
from slow import slow
from torch import nn

from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.models.checkpoints import (
    fingerprint,
    from_convolutional,
    from_lavt,
    from_swin,
    from_text,
    from_vit,
    resize_position_tables,
    to_lavt,
)
from mgfe_ris.models.encoders import ConvNeXtEncoder, HFTextEncoder, ResNetEncoder, SwinEncoder, ViTEncoder
from mgfe_ris.models.encoders.mmpretrain_backbones import ConvNeXt, VisionTransformer
from mgfe_ris.structures import Text


def scatter(module):
    """Random numbers near 1 through a deep model, with no weight at 0 or 1: one that is left out must show."""
    for p in module.parameters():
        nn.init.normal_(p, std=p[0].numel() ** -0.5 if p.dim() in (2, 4) else 0.5)
    for name, buffer in module.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_()
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 2)
    module.train(False)  # mmpretrain's backbones return None from eval()
    return module


def photos(*size, dtype=torch.float64):
    return torch.randn(2, 3, *size, dtype=dtype)


def assert_same(ours, expected):
    """Up to rounding: 1e-4 of the spread in float32, 1e-10 in float64."""
    for a, b in zip(ours, expected, strict=True):
        assert b.std() > 0.01, 'nothing to compare'
        tolerance = {torch.float32: 1e-4, torch.float64: 1e-10}[b.dtype]
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * b.std().item())


@torch.no_grad()
def seen(encoder, x):
    """What the slot of our encoder sees at each stage, before the norms that no file need have."""
    maps = []

    def fuse(i, v):
        maps.append(v)
        return v, torch.zeros_like(v)

    encoder.train(False)
    encoder(x, fuse=fuse)
    return maps


def renamed(state, *replacements):
    """The same tensors, each replacement made in turn in every name."""
    names = list(state)
    for old, new in replacements:
        names = [name.replace(old, new) for name in names]
    return dict(zip(names, state.values(), strict=True))


def prefixed(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def with_joined_qkv(state, query, qkv):
    """query, key and value, one matrix each, as one: that is how all but Hugging Face keep them."""
    state = dict(state)
    for name in [name for name in state if f'{query}.' in name]:
        parts = [state.pop(name.replace('query', part)) for part in ('query', 'key', 'value')]
        state[name.replace(query, qkv)] = torch.cat(parts)
    return state


def save(state, path):
    save_file(state, path) if path.suffix == '.safetensors' else torch.save(state, path)
    return dict(type='Pretrained', checkpoint=str(path))


def save_whole(model, folder, safe=True):
    """Its file: as transformers writes it; the other form, which version 5 writes no longer, out of that."""
    model.save_pretrained(folder, **({} if safe else dict(safe_serialization=False)))
    file = folder / ('model.safetensors' if safe else 'pytorch_model.bin')
    if not file.is_file():
        torch.save(load_file(folder / 'model.safetensors'), file)
    return file


def state_of(hf):
    """A model of Hugging Face as its files name it, whatever its version calls the same in memory; with the buffers of
    Swin, which version 5 does not save."""
    with TemporaryDirectory() as folder:
        state = load_file(save_whole(hf, Path(folder)))
    for name, buffer in hf.named_buffers():
        if name.endswith('relative_position_index'):
            name = name.removeprefix('swin.').replace('attention.relative_position_bias.', 'attention.self.')
            side = math.isqrt(buffer.numel())
            state[name] = buffer.view(side, side).clone()
    return {name: value for name, value in state.items() if not name.startswith('swin.layernorm')}  # of no stage


# Swin

SWIN = dict(
    small_test=dict(embed_dims=8, depths=(2, 1, 2, 1), num_heads=(1, 2, 2, 4)),
    tiny=dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    small=dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    base=dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    large=dict(embed_dims=192, depths=(2, 2, 2, 2), num_heads=(6, 12, 24, 48)),  # 18 in the third stage, to save time
)
SMALL = SWIN['small_test']


def swin_config(size, window):
    return transformers.SwinConfig(
        embed_dim=size['embed_dims'],
        depths=list(size['depths']),
        num_heads=list(size['num_heads']),
        window_size=window,
        image_size=32 * window,
        out_features=['stage1', 'stage2', 'stage3', 'stage4'],
    )


def hf_swin(size=SMALL, window=7):
    """Hugging Face's Swin for dense tasks, with a norm after each stage."""
    return scatter(transformers.SwinBackbone(swin_config(size, window)))


def swin_encoder(size=SMALL, window=7, **kwargs):
    encoder = SwinEncoder(**size, window_size=window, **kwargs)
    encoder.train(False)
    return encoder


@torch.no_grad()
def stages(hf, x):
    """What leaves the stages of Hugging Face's Swin, before the norms."""
    for name in hf.hidden_states_norms:
        hf.hidden_states_norms[name] = nn.Identity()
    return hf(x).feature_maps


@torch.no_grad()
def assert_loads_as(hf, ours, x):
    ours.load_state_dict(from_swin(state_of(hf)), strict=True)
    assert_same(ours.to(x.dtype)(x), hf.to(x.dtype)(x).feature_maps)


@pytest.mark.parametrize(
    ('size', 'window'),
    [
        ('tiny', 7),
        *(
            pytest.param(size, window, marks=slow('a large model'))
            for size, window in (('small', 7), ('base', 7), ('base', 12), ('large', 7), ('large', 12))
        ),
    ],
)
def test_swin_of_hugging_face_in_every_published_size(size, window):
    """In float32, on a photo that neither patches nor windows divide; the larger ones with MGFE_RIS_SLOW=1."""
    x = photos(90, 131, dtype=torch.float32)
    assert_loads_as(hf_swin(SWIN[size], window), swin_encoder(SWIN[size], window), x[:1])


@pytest.mark.parametrize('window', [7, 12])
@pytest.mark.parametrize('size', [(64, 64), (50, 70), (33, 5), (107, 41)], ids='{0[0]}x{0[1]}'.format)
def test_swin_of_hugging_face_on_photos_of_any_size(size, window):
    assert_loads_as(hf_swin(window=window), swin_encoder(window=window), photos(*size))


@pytest.mark.parametrize(
    ('kind', 'safe', 'module'),
    [
        ('SwinModel', True, lambda model: model),
        ('SwinForImageClassification', True, lambda model: model.swin),
        ('SwinForImageClassification', False, lambda model: model.swin),
        ('SwinForMaskedImageModeling', False, lambda model: model.swin),
    ],
)
def test_swin_of_hugging_face_from_the_files_of_whole_models(kind, safe, module, tmp_path):
    """Heads, the last norm and the mask token are left out."""
    model = scatter(getattr(transformers, kind)(swin_config(SMALL, 7)))
    file = save_whole(model, tmp_path, safe)
    ours = swin_encoder(init_cfg=dict(type='Pretrained', checkpoint=str(file)))
    ours.init_weights()
    stock, info = transformers.SwinBackbone.from_pretrained(
        tmp_path, config=swin_config(SMALL, 7), output_loading_info=True
    )
    assert all(name.startswith('hidden_states_norms') for name in info['missing_keys'])
    x = photos(50, 70)
    assert_same(seen(ours.double(), x), stages(stock.double(), x))


def original_swin(hf):
    """Hugging Face's state dict under the names of microsoft/Swin-Transformer; pixels merge in the same order."""
    state = renamed(
        with_joined_qkv(hf, 'attention.self.query', 'attn.qkv'),
        ('embeddings.patch_embeddings.projection', 'patch_embed.proj'),
        ('embeddings.norm', 'patch_embed.norm'),
        ('encoder.layers', 'layers'),
        ('layernorm_before', 'norm1'),
        ('layernorm_after', 'norm2'),
        ('attention.self', 'attn'),
        ('attention.output.dense', 'attn.proj'),
        ('intermediate.dense', 'mlp.fc1'),
        ('output.dense', 'mlp.fc2'),
        *((f'hidden_states_norms.stage{i + 1}', f'norm{i}') for i in range(4)),
    )
    assert 'layers.0.blocks.1.attn.relative_position_index' in state
    return state


BASE = pytest.param('base', 12, marks=slow('a large model'))


@pytest.mark.parametrize(('size', 'window'), [('small_test', 7), ('small_test', 12), BASE])
def test_swin_of_the_original_repository(size, window, tmp_path):
    hf = hf_swin(SWIN[size], window)
    state = {name: value for name, value in original_swin(state_of(hf)).items() if not re.match(r'norm\d', name)}
    state['layers.0.blocks.1.attn_mask'] = torch.zeros(64, window**2, window**2)
    state |= {'norm.weight': torch.randn(64), 'norm.bias': torch.randn(64)}  # left out, whatever their size
    state |= {'head.weight': torch.randn(10, 64), 'head.bias': torch.randn(10)}
    ours = swin_encoder(SWIN[size], window, init_cfg=save(dict(model=state), tmp_path / 'swin.pth'))
    ours.init_weights()
    x = photos(50, 70)
    assert_same(seen(ours.double(), x), stages(hf.double(), x))


HEADS = {
    'decode_head.conv_seg.weight': torch.ones(2, 8, 1, 1),
    'decode_head.convs.0.bn.num_batches_tracked': torch.tensor(3),
    'auxiliary_head.conv_seg.bias': torch.ones(2),
}


@pytest.mark.parametrize('whole', [False, True], ids=['bare', 'segmentor'])
@pytest.mark.parametrize(('size', 'window'), [('small_test', 7), BASE])
def test_swin_of_mmseg(size, window, whole, tmp_path):
    stock = scatter(MMSegSwin(**SWIN[size], window_size=window))
    state = stock.state_dict()
    if whole:
        state = dict(meta=dict(epoch=1), state_dict=prefixed('backbone.', state) | HEADS, optimizer={})
    ours = swin_encoder(SWIN[size], window, init_cfg=save(state, tmp_path / 'swin.pth'))
    ours.init_weights()
    x = photos(50, 70)
    assert_same(ours.double()(x), stock.double()(x))


def test_swin_of_mmpretrain(tmp_path):
    """A classifier's norm after the last stage is that stage's."""
    from mmpretrain.models import ImageClassifier, SwinTransformer  # after mmpretrain_backbones, which lets them in

    backbone = dict(type='SwinTransformer', arch=SMALL, pad_small_map=True)
    head = dict(type='LinearClsHead', num_classes=10, in_channels=64)
    with DefaultScope.overwrite_default_scope('mmpretrain'):  # other tests leave mmseg's
        stock = scatter(ImageClassifier(backbone=backbone, neck=dict(type='GlobalAveragePooling'), head=head))
    assert type(stock.backbone) is SwinTransformer
    file = save(dict(state_dict=stock.state_dict(), meta={}), tmp_path / 'swin.pth')
    ours = swin_encoder(init_cfg=file)
    ours.init_weights()
    x = photos(50, 70)
    assert_same(ours.double()(x)[3:], stock.backbone.double()(x))


# Swin's position tables


def cubic(t):
    """The kernel of bicubic interpolation, a = -0.75 as in OpenCV and torch."""
    t, a = abs(t), -0.75
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0


def interpolated(table, old, new):
    """((2 old - 1)^2, heads) -> ((2 new - 1)^2, heads), as a product with the kernel's values on either side."""
    old, new = 2 * old - 1, 2 * new - 1
    kernel = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        place = (i + 0.5) * old / new - 0.5
        for j in range(-2, old + 2):
            kernel[i, min(max(j, 0), old - 1)] += cubic(place - j)  # beyond the border, the border goes on
    grid = table.double().view(old, old, -1)
    return torch.einsum('iy,jx,yxh->ijh', kernel, kernel, grid).flatten(0, 1)


@pytest.mark.parametrize(('old', 'new'), [(12, 7), (7, 12)])
def test_position_tables_are_interpolated(old, new):
    state = {
        'stages.0.blocks.0.attn.w_msa.relative_position_bias_table': torch.randn((2 * old - 1) ** 2, 3).double(),
        'stages.0.blocks.0.attn.w_msa.proj.bias': torch.randn(8),
    }
    (table, bias), resized = state.values(), resize_position_tables(state, new)
    assert list(resized) == list(state)
    new_table, new_bias = resized.values()
    torch.testing.assert_close(new_table, interpolated(table, old, new), rtol=0, atol=1e-12)
    assert torch.equal(new_bias, bias)


def test_a_smooth_table_keeps_its_shape_in_another_window():
    """A table is a function of the offset between two pixels, measured in windows."""

    def table(window):
        y = ((torch.arange(2 * window - 1) + 0.5) / (2 * window - 1) - 0.5).double()
        return (torch.sin(2 * y[:, None]) + 3 * torch.cos(y + 1)).flatten()[:, None]

    for old, new in ((12, 7), (7, 12)):
        ours = resize_position_tables({'relative_position_bias_table': table(old)}, new)
        error = (ours['relative_position_bias_table'] - table(new)).view(2 * new - 1, -1)[3:-3, 3:-3]
        assert error.abs().max() < 0.01 * (
            table(new).max() - table(new).min()
        )  # at the border the kernel misses what lies beyond


@pytest.mark.parametrize('window', [7, 12])
def test_position_tables_of_the_same_window_are_kept(window):
    state = from_swin(state_of(hf_swin(window=window)))
    kept = resize_position_tables(state, window)
    assert list(kept) == list(state) and all(torch.equal(kept[name], state[name]) for name in state)


@pytest.mark.parametrize('form', ['hugging face', 'original', 'mmseg'])
@pytest.mark.parametrize(('old', 'new'), [(12, 7), (7, 12)])
def test_a_file_of_another_window_loads_with_its_tables_interpolated(old, new, form, tmp_path):
    hf, expected = hf_swin(window=old), hf_swin(window=new)
    state = state_of(hf)
    resized = {
        name: interpolated(value, old, new) if name.endswith('bias_table') else value
        for name, value in state.items()
        if not name.endswith('index')
    }
    expected.save_pretrained(tmp_path)  # for its config
    save_file(resized, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    expected = transformers.SwinBackbone.from_pretrained(tmp_path).eval()
    if form == 'original':
        state = dict(model=original_swin(state))
    if form == 'mmseg':
        stock = MMSegSwin(**SMALL, window_size=old)
        assert not stock.load_state_dict(from_swin(state), strict=False).unexpected_keys
        state = stock.state_dict()  # with buffers of the old window
    ours = swin_encoder(window=new, init_cfg=save(state, tmp_path / 'swin.pth'))
    ours.init_weights()
    x = photos(50, 70).float()
    assert_same(ours(x), expected(x).feature_maps)


# ViT


def dino(hf):
    """The state dict of Hugging Face's ViT under timm's names, which DINO's repository uses too."""
    return renamed(
        with_joined_qkv(hf, 'attention.attention.query', 'attn.qkv'),
        ('embeddings.cls_token', 'cls_token'),
        ('embeddings.position_embeddings', 'pos_embed'),
        ('embeddings.patch_embeddings.projection', 'patch_embed.proj'),
        ('encoder.layer.', 'blocks.'),
        ('layernorm_before', 'norm1'),
        ('layernorm_after', 'norm2'),
        ('attention.output.dense', 'attn.proj'),
        ('intermediate.dense', 'mlp.fc1'),
        ('output.dense', 'mlp.fc2'),
        ('layernorm', 'norm'),
    )


@torch.no_grad()
def test_vit_of_dino(tmp_path):
    """ViT-B/16 in full, float32."""
    config = transformers.ViTConfig(layer_norm_eps=1e-6)
    hf = scatter(transformers.ViTModel(config, add_pooling_layer=False))
    ours = ViTEncoder(arch='base', img_size=224, patch_size=16)
    result = ours.load_state_dict(from_vit(dino(state_of(hf))), strict=False)
    assert not result.unexpected_keys
    assert all(name.startswith(('out_norms', 'pyramid')) for name in result.missing_keys)
    x = photos(224, 224, dtype=torch.float32)[:1]
    states = hf(x, output_hidden_states=True).hidden_states
    expected = [states[i][:, 1:].transpose(1, 2).unflatten(2, (14, 14)) for i in (3, 6, 9, 12)]
    assert_same(seen(ours, x), expected)


VIT = dict(
    arch=dict(embed_dims=8, num_layers=4, num_heads=2, feedforward_channels=12), img_size=(48, 80), patch_size=16
)


@pytest.mark.parametrize('names', ['mmpretrain', 'timm'])
def test_vit_of_mmpretrain(names, tmp_path):
    stock = scatter(VisionTransformer(**VIT, out_indices=(0, 1, 2, 3), out_type='featmap'))
    state = prefixed('backbone.', stock.state_dict()) | {'head.layers.head.weight': torch.randn(10, 8)}
    if names == 'timm':
        state = renamed(
            stock.state_dict(),
            ('ffn.layers.0.0', 'mlp.fc1'),
            ('ffn.layers.1', 'mlp.fc2'),
            ('layers.', 'blocks.'),
            ('.ln', '.norm'),
            ('ln1', 'norm'),
            ('patch_embed.projection', 'patch_embed.proj'),
        )
    ours = ViTEncoder(**VIT, init_cfg=save(dict(state_dict=state), tmp_path / 'vit.pth'))
    ours.init_weights()
    stock.final_norm = False
    for x in (photos(48, 80), photos(50, 70)):
        assert_same(seen(ours.double(), x), stock.double()(x))


# ResNet, ConvNeXt


@torch.no_grad()
def resnet_stages(resnet, x):
    x = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(x))))
    outs = []
    for layer in (resnet.layer1, resnet.layer2, resnet.layer3, resnet.layer4):
        x = layer(x)
        outs.append(x)
    return outs


@pytest.mark.parametrize('counts', [True, False])
@pytest.mark.parametrize('depth', [18, 50])
def test_resnet_of_torchvision(depth, counts, tmp_path):
    """resnet50-19c8e357.pth and its like are older than the counts of batches, which no output depends on."""
    stock = scatter(getattr(torchvision.models, f'resnet{depth}')(weights=None))
    state = {k: v for k, v in stock.state_dict().items() if counts or not k.endswith('num_batches_tracked')}
    ours = ResNetEncoder(depth=depth, init_cfg=save(state, tmp_path / 'resnet.pth'))
    ours.init_weights()
    x = photos(75, 110)
    assert_same(seen(ours.double(), x), resnet_stages(stock.double(), x))


def test_resnet_of_mmseg(tmp_path):
    stock = scatter(ResNet(depth=18, deep_stem=True))
    file = save(dict(state_dict=prefixed('backbone.', stock.state_dict()) | HEADS), tmp_path / 'resnet.pth')
    ours = ResNetEncoder(depth=18, deep_stem=True, init_cfg=file)
    ours.init_weights()
    x = photos(75, 110)
    assert_same(seen(ours.double(), x), stock.double()(x))


def test_convnext_of_mmpretrain(tmp_path):
    """A classifier's file holds the norm of the last stage alone."""
    arch = dict(depths=[1, 2, 1, 1], channels=[4, 6, 8, 10])
    stock = scatter(ConvNeXt(arch=arch, out_indices=(0, 1, 2, 3), gap_before_final_norm=False))
    state = {k: v for k, v in stock.state_dict().items() if not re.match('norm[0-2]', k)}
    state = prefixed('backbone.', state) | {'head.fc.weight': torch.randn(10, 10), 'head.fc.bias': torch.randn(10)}
    ours = ConvNeXtEncoder(arch=arch, init_cfg=save(dict(state_dict=state, meta={}), tmp_path / 'convnext.pth'))
    ours.init_weights()
    x = photos(75, 110)
    stock, ours = stock.double(), ours.double()
    expected = stock(x)[3]
    ours.train(False)
    assert_same(ours(x)[3:], [expected])
    for i in range(4):
        setattr(stock, f'norm{i}', nn.Identity())
    assert_same(seen(ours, x), stock(x))


# Text


def sentences(vocabulary, padding):
    ids = torch.randint(3, vocabulary, (2, 9))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 4:] = False
    return ids.masked_fill(~mask, padding), mask


@torch.no_grad()
def assert_same_words(ours, hf, padding):
    ids, mask = sentences(ours.model.config.vocab_size, padding)
    expected = hf(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    assert_same([ours.eval()(ids, mask).words[mask]], [expected[mask]])


@pytest.fixture(scope='module')
def bert():
    """BERT-base with a pooler and the heads of its own training."""
    torch.manual_seed(0)
    return scatter(transformers.BertForPreTraining(transformers.BertConfig()))


def masked_language_model(state):
    state = {k: v for k, v in state.items() if 'pooler' not in k and 'seq_relationship' not in k}
    return state | {'bert.embeddings.position_ids': torch.arange(512)[None]}


@pytest.mark.parametrize(
    'form',
    [
        lambda state: {k.removeprefix('bert.'): v for k, v in state.items() if k.startswith('bert.')},
        masked_language_model,
        lambda state: renamed(state, ('LayerNorm.weight', 'LayerNorm.gamma'), ('LayerNorm.bias', 'LayerNorm.beta')),
        lambda state: prefixed('module.', state),
    ],
    ids=['BertModel', 'BertForMaskedLM', '2018', 'module.'],
)
def test_bert_base(form, bert):
    """In full, float32."""
    ours = HFTextEncoder(config=dict(model_type='bert'))
    ours.load_state_dict(from_text(form(bert.state_dict())), strict=True)
    assert_same_words(ours, bert.bert, padding=0)


ROBERTA_BASE = dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)


@pytest.mark.parametrize(
    ('model_type', 'config', 'kind', 'body', 'padding'),
    [
        ('roberta', ROBERTA_BASE, 'RobertaForMaskedLM', 'roberta', 1),
        ('clip_text_model', {}, 'CLIPTextModelWithProjection', 'text_model', 49407),
    ],
    ids=['roberta-base', 'clip-vit-base-patch32'],
)
def test_other_texts_in_full(model_type, config, kind, body, padding):
    """The architectures that our configs name, float32."""
    model = getattr(transformers, kind)
    model = scatter(model(model.config_class(**config)))
    ours = HFTextEncoder(config=dict(config, model_type=model_type))
    ours.load_state_dict(from_text(model.state_dict()), strict=True)
    assert_same_words(ours, getattr(model, body), padding)


TEXT = dict(
    vocab_size=30,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    max_position_embeddings=12,
)
CLIP = dict(TEXT, bos_token_id=28, eos_token_id=29, pad_token_id=29, projection_dim=6)
VISION = dict(hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32)


def text_config(model_type):
    """What HFTextEncoder takes, which is what the models of Hugging Face are built with here."""
    if model_type == 'clip':
        return dict(text_config=CLIP, vision_config=VISION)
    return CLIP if model_type == 'clip_text_model' else dict(TEXT, pad_token_id=int(model_type == 'roberta'))


@pytest.mark.parametrize('safe', [True, False], ids=['safetensors', 'bin'])
@pytest.mark.parametrize(
    ('model_type', 'kind'),
    [
        ('bert', 'BertModel'),
        ('bert', 'BertForMaskedLM'),
        ('bert', 'BertForPreTraining'),
        ('bert', 'BertForSequenceClassification'),
        ('bert', 'BertForQuestionAnswering'),
        ('roberta', 'RobertaModel'),
        ('roberta', 'RobertaForMaskedLM'),
        ('roberta', 'RobertaForSequenceClassification'),
        ('clip', 'CLIPModel'),
        ('clip_text_model', 'CLIPTextModel'),
        ('clip_text_model', 'CLIPTextModelWithProjection'),
    ],
)
def test_text_encoders_from_the_files_of_whole_models(model_type, kind, safe, tmp_path):
    config = text_config(model_type)
    model = getattr(transformers, kind)
    model = scatter(model(model.config_class(**config)))
    file = save_whole(model, tmp_path, safe)
    ours = HFTextEncoder(
        config=dict(config, model_type=model_type), init_cfg=dict(type='Pretrained', checkpoint=str(file))
    )
    ours.init_weights()
    body = next((getattr(model, name) for name in ('bert', 'roberta', 'text_model') if hasattr(model, name)), model)
    assert_same_words(ours, body, padding=model.config.to_dict().get('pad_token_id') or 0)


@pytest.mark.parametrize(
    ('model_type', 'name'),
    [
        ('bert', 'embeddings.position_ids'),
        ('roberta', 'embeddings.position_ids'),
        ('clip_text_model', 'text_model.embeddings.position_ids'),
    ],
)
def test_positions_in_files_of_older_releases_are_left_out(model_type, name):
    ours = HFTextEncoder(config=dict(text_config(model_type), model_type=model_type))
    state = ours.model.state_dict() | {name: torch.arange(12)[None]}
    assert from_text(state).keys() == ours.state_dict().keys()


def test_a_text_encoder_of_ours_passes_through():
    for model_type in ('bert', 'roberta', 'clip_text_model'):
        state = HFTextEncoder(config=dict(text_config(model_type), model_type=model_type)).state_dict()
        assert_equal(from_text(state), state)


# LAVT

WIDTHS = (8, 16, 32, 64)
WORD = 8


def assert_equal(state, expected):
    """Bit for bit."""
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        assert state[name].dtype == value.dtype, name
        assert torch.equal(state[name], value), name


def shapes_of_fusion_and_decoder():
    for i, c in enumerate(WIDTHS):
        for part in ('vis_project', 'image_lang_att.f_query', 'image_lang_att.W', 'project_mm'):
            yield f'backbone.layers.{i}.fusion.{part}.0.weight', (c, c, 1)
            yield f'backbone.layers.{i}.fusion.{part}.0.bias', (c,)
        for part in ('f_key', 'f_value'):
            yield f'backbone.layers.{i}.fusion.image_lang_att.{part}.0.weight', (c, WORD, 1)
            yield f'backbone.layers.{i}.fusion.image_lang_att.{part}.0.bias', (c,)
        for j in (0, 2):
            yield f'backbone.layers.{i}.res_gate.{j}.weight', (c, c)
    hidden = WIDTHS[3] // 2
    for block, width in ((4, WIDTHS[3] + WIDTHS[2]), (3, hidden + WIDTHS[1]), (2, hidden + WIDTHS[0])):
        yield f'classifier.conv1_{block}.weight', (hidden, width, 3, 3)
        yield f'classifier.conv2_{block}.weight', (hidden, hidden, 3, 3)
        for n in (1, 2):
            for part in ('weight', 'bias', 'running_mean', 'running_var'):
                yield f'classifier.bn{n}_{block}.{part}', (hidden,)
    yield 'classifier.conv1_1.weight', (2, hidden, 1, 1)
    yield 'classifier.conv1_1.bias', (2,)


@pytest.fixture
def lavt():
    """A random LAVT under official names, and the two modules of Hugging Face whose weights are in it."""
    swin = hf_swin()
    config = transformers.BertConfig(**TEXT)
    bert = scatter(transformers.BertModel(config, add_pooling_layer=False))
    model = prefixed('backbone.', original_swin(state_of(swin)))
    for name, shape in shapes_of_fusion_and_decoder():
        model[name] = torch.randn(shape) * (torch.tensor(shape[1:]).prod().item() ** -0.5 if len(shape) > 1 else 0.5)
        if name.endswith('running_var'):
            model[name].abs_().add_(0.5)
    for name in [name for name in model if name.endswith('running_var')]:
        model[name.replace('running_var', 'num_batches_tracked')] = torch.tensor(17)
    words = bert.state_dict() | {'embeddings.position_ids': torch.arange(12)[None]}
    return dict(model=model, bert_model=words), swin, bert


def lavt_of_ours(size=SMALL, window=7, widths=WIDTHS, word=WORD, text=TEXT, attention=None):
    parts = dict(
        encoder=swin_encoder(size, window),
        neck=MODELS.build(
            dict(
                type='MGFENeck',
                channels=widths,
                text_channels=word,
                attention=attention or dict(type='PixelWordAttention'),
                weigh=dict(type='LanguageGate'),
                decoder_reads='G',
            )
        ),
        decode_head=MODELS.build(dict(type='LightDecodeHead', channels=widths)),
    )
    if text:
        parts['text_encoder'] = HFTextEncoder(config=dict(text, model_type='bert'))
    return nn.ModuleDict(parts).eval()


@torch.no_grad()
def run(ours, x, words, mask):
    """Our features and logits, at stride 4."""
    feats = ours.encoder(x, fuse=ours.neck.bind(Text(words, mask)))
    return [*feats, ours.decode_head(feats)]


def word_context(state, x, words, mask):
    """Official LAVT's attention of pixels to words: x (B, HW, C), words (B, T, D), mask (B, T) -> G (B, HW, C)."""

    def conv(name, x):
        return F.conv1d(x, state[f'{name}.0.weight'], state[f'{name}.0.bias'])

    x, words, mask = x.transpose(1, 2), words.transpose(1, 2), mask[:, None].to(x.dtype)
    query = F.instance_norm(conv('image_lang_att.f_query', x))
    key, value = (conv(f'image_lang_att.{name}', words) * mask for name in ('f_key', 'f_value'))
    similarity = query.transpose(1, 2) @ key * len(state['image_lang_att.W.0.bias']) ** -0.5 + (mask - 1) * 1e4
    language = value @ similarity.softmax(2).transpose(1, 2)
    language = F.instance_norm(conv('image_lang_att.W', language))
    return F.gelu(conv('project_mm', F.gelu(conv('vis_project', x)) * language)).transpose(1, 2)


def decode(state, feats):
    """Official LAVT's decoder."""
    x = feats[3]
    for block, feat in ((4, feats[2]), (3, feats[1]), (2, feats[0])):
        x = torch.cat([F.interpolate(x, feat.shape[2:], mode='bilinear', align_corners=True), feat], 1)
        for n in (1, 2):
            norm = [state[f'classifier.bn{n}_{block}.{p}'] for p in ('running_mean', 'running_var', 'weight', 'bias')]
            x = F.relu(F.batch_norm(F.conv2d(x, state[f'classifier.conv{n}_{block}.weight'], padding=1), *norm))
    return F.conv2d(x, state['classifier.conv1_1.weight'], state['classifier.conv1_1.bias'])


@torch.no_grad()
def official(state, swin, x, words, mask):
    """Features and logits of LAVT from the official names, Swin's blocks and merging those of Hugging Face."""
    swin = getattr(swin, 'swin', swin)  # transformers 5 has it inside of what counts its stages
    x, size = swin.embeddings(x)
    feats = []
    for i, stage in enumerate(swin.encoder.layers):
        for block in stage.blocks:
            out = block(x, size, always_partition=True)
            x = out[0] if isinstance(out, tuple) else out  # a tuple in transformers 4
        name = f'backbone.layers.{i}.'
        fusion = {k.removeprefix(f'{name}fusion.'): v for k, v in state.items() if k.startswith(f'{name}fusion.')}
        g = word_context(fusion, x, words, mask)
        gate = torch.tanh(F.relu(g @ state[f'{name}res_gate.0.weight'].T) @ state[f'{name}res_gate.2.weight'].T)
        out = F.layer_norm(g, g.shape[2:], state[f'backbone.norm{i}.weight'], state[f'backbone.norm{i}.bias'])
        feats.append(out.transpose(1, 2).unflatten(2, size))
        x = x + gate * g
        if stage.downsample is not None:
            x, size = stage.downsample(x, size), (-(-size[0] // 2), -(-size[1] // 2))
    return [*feats, decode(state, feats)]


def test_lavt_computes_what_the_official_names_say(lavt):
    checkpoint, swin, bert = lavt
    ours = lavt_of_ours()
    ours.load_state_dict(from_lavt(checkpoint), strict=True)
    assert_same_words(ours.text_encoder, bert, padding=0)
    x, words, mask = photos(75, 110), torch.randn(2, 5, WORD).double(), torch.arange(5) < torch.tensor([[5], [3]])
    state = {k: v.double() for k, v in checkpoint['model'].items()}
    assert_same(run(ours.double(), x, words, mask), official(state, swin.double(), x, words, mask))


LAVT_FORMS = dict(
    two_models=lambda model, bert: dict(model=model, bert_model=bert, epoch=3),
    modules=lambda model, bert: dict(model=prefixed('module.', model), bert_model=prefixed('module.', bert)),
    single_model=lambda model, bert: dict(model=model | prefixed('text_encoder.', bert)),
    single_module=lambda model, bert: dict(model=prefixed('module.', model | prefixed('text_encoder.', bert))),
    bare=lambda model, bert: model | prefixed('text_encoder.', bert),
    pooler=lambda model, bert: dict(
        model=model, bert_model=bert | {'pooler.dense.weight': torch.ones(8, 8), 'pooler.dense.bias': torch.ones(8)}
    ),
)


@pytest.mark.parametrize('form', LAVT_FORMS.values(), ids=LAVT_FORMS)
def test_lavt_there_and_back(form, lavt):
    """Every weight and buffer bit for bit, in both of the forms that the official code loads."""
    checkpoint = lavt[0]
    ours = from_lavt(form(**dict(zip(('model', 'bert'), checkpoint.values(), strict=True))))
    assert set(ours) == set(lavt_of_ours().state_dict())
    back = to_lavt(ours)
    assert back.keys() == {'model', 'bert_model'}
    assert_equal(back['model'], checkpoint['model'])
    assert_equal(back['bert_model'], checkpoint['bert_model'])
    single = to_lavt(ours, single_model=True)
    assert single.keys() == {'model'}
    assert_equal(single['model'], checkpoint['model'] | prefixed('text_encoder.', checkpoint['bert_model']))


def test_lavt_of_ours_there_and_back():
    ours = scatter(lavt_of_ours(window=12)).state_dict()
    for single_model in (False, True):
        assert_equal(from_lavt(to_lavt(ours, single_model)), ours)


@pytest.mark.parametrize('kind', ['CoAttention', 'CollectDiffuseAttention', 'BidirectionalAttention'])
def test_lavt_with_a_rival_attention_there_and_back(kind):
    """Each under names that only it has, and none of LAVT's own attention."""
    attention = dict(type=kind, map_size=[(8, 8), (4, 4), (2, 2), (1, 1)]) if kind[0] == 'B' else dict(type=kind)
    ours = scatter(lavt_of_ours(attention=attention)).state_dict()
    theirs = to_lavt(ours)
    mark = {'CoAttention': 'lang_project.0', 'CollectDiffuseAttention': 'lang_gen.project.0'}.get(kind, 'lang_reduce')
    assert f'backbone.layers.3.fusion.{mark}.weight' in theirs['model']
    assert not any('vis_project' in name for name in theirs['model'])
    assert_equal(from_lavt(theirs), ours)


@pytest.mark.parametrize('window', [7, 12])
def test_the_buffers_for_lavt_are_those_of_hugging_face(window):
    """Swin's indices follow from the window; the code of either computes them in its own way."""
    theirs = state_of(hf_swin(window=window))
    official = original_swin(theirs)
    ours = to_lavt(prefixed('encoder.', from_swin(theirs)))['model']
    indices = [name for name in official if name.endswith('relative_position_index')]
    assert len(indices) == 6
    assert_equal({k: ours[f'backbone.{k}'] for k in indices}, {k: official[k] for k in indices})


@pytest.fixture(scope='module')
def recorded(shared):
    """A small LAVT and what the official code made of it."""
    return torch.load(shared / 'fixtures/lavt_small.pt', weights_only=True)


def test_the_recorded_lavt_there_and_back(recorded):
    state = recorded['state_dict']
    assert_equal(to_lavt(from_lavt(state), single_model=True)['model'], state)
    assert_equal(to_lavt(from_lavt(dict(model=prefixed('module.', state))))['model'], state)


def test_the_recorded_lavt_computes_what_was_recorded(recorded):
    config = recorded['config']
    size = dict(embed_dims=config['embed_dim'], depths=config['depths'], num_heads=config['num_heads'])
    widths = [config['embed_dim'] * 2**i for i in range(4)]
    ours = lavt_of_ours(size, config['window_size'], widths, config['text_dim'], text=None)
    ours.load_state_dict(from_lavt(recorded['state_dict']), strict=True)
    *feats, logits = run(ours, recorded['image'], recorded['words'], recorded['mask'])
    logits = F.interpolate(logits, config['image_size'], mode='bilinear', align_corners=True)
    assert_same([*feats, logits], [*recorded['features'], recorded['logits']])


# What nothing explains


def of_mmseg():
    return MMSegSwin(**SMALL).state_dict()


def of_hugging_face():
    return state_of(hf_swin())


def of_original():
    return original_swin(of_hugging_face())


def of_lavt():
    return to_lavt(lavt_of_ours().state_dict(), single_model=True)['model']


def of_text(model_type='bert'):
    return HFTextEncoder(config=dict(text_config(model_type), model_type=model_type)).model.state_dict()


def of_vit():
    return prefixed('backbone.', VisionTransformer(**VIT).state_dict())


UNEXPLAINED = [
    (from_swin, of_hugging_face, 'encoder.layers.0.blocks.0.attention.self.logit_scale'),
    (from_swin, of_hugging_face, 'encoder.layers.0.blocks.0.attention.self.continuous_position_bias_mlp.0.weight'),
    (from_swin, of_hugging_face, 'embeddings.position_embeddings'),
    (from_swin, of_hugging_face, 'encoder.layers.0.blocks.0.extra.weight'),
    (from_swin, of_original, 'absolute_pos_embed'),
    (from_swin, of_original, 'layers.0.blocks.0.attn.logit_scale'),
    (from_swin, of_original, 'layers.0.blocks.0.attn.q_bias'),
    (from_swin, of_original, 'layers.0.blocks.0.attn.cpb_mlp.0.weight'),
    (from_swin, of_mmseg, 'absolute_pos_embed'),
    (from_swin, of_mmseg, 'stages.0.blocks.0.attn.extra'),
    (from_swin, lambda: prefixed('backbone.', of_mmseg()), 'neck.convs.0.weight'),
    (from_vit, of_vit, 'dist_token'),
    (from_vit, of_vit, 'neck.weight'),
    (from_vit, of_vit, 'backbone.blocks.0.ls1.gamma'),
    (from_text, of_text, 'encoder.layer.0.attention.self.distance_embedding.weight'),
    (from_text, of_text, 'encoder.layer.0.crossattention.self.query.weight'),
    (from_text, lambda: of_text('roberta'), 'embeddings.extra.weight'),
    (from_text, lambda: of_text('clip_text_model'), 'text_model.encoder.layers.0.self_attn.extra.weight'),
    (from_text, lambda: of_text('clip_text_model'), 'audio_model.weight'),
    (from_lavt, of_lavt, 'backbone.layers.0.fusion.extra.weight'),
    (from_lavt, of_lavt, 'backbone.absolute_pos_embed'),
    (from_lavt, of_lavt, 'text_encoder.encoder.layer.0.extra.weight'),
    (from_lavt, of_lavt, 'classifier.conv3_4.weight'),
    (to_lavt, lambda: lavt_of_ours().state_dict(), 'neck.refine.0.qkv.weight'),
    (to_lavt, lambda: lavt_of_ours().state_dict(), 'text_encoder.model.pooler.dense.weight'),
]


@pytest.mark.parametrize(
    ('convert', 'state', 'name'), UNEXPLAINED, ids=[f'{c.__name__}-{n}' for c, _, n in UNEXPLAINED]
)
def test_a_name_that_nothing_explains_is_an_error(convert, state, name):
    state = state()
    convert(dict(state))
    with pytest.raises(ValueError) as error:
        convert({**state, name: torch.ones(1), 'another.name': torch.ones(1)})
    listed = str(error.value).replace('backbone.', '')
    assert listed.startswith('2 names') and 'another.name' in listed
    assert name.removeprefix('backbone.') in listed
    assert 'relative_position_index' not in listed


@pytest.mark.parametrize(
    ('convert', 'name'),
    [
        (from_convolutional, 'encoder.layers.0.blocks.0.attention.self.query.weight'),
        (from_convolutional, 'layer1.0.junk'),
        (from_vit, 'layers.0.whatever.junk'),
        (from_vit, 'blocks.0.attn.junk.weight'),
    ],
)
def test_no_pattern_lets_everything_pass(convert, name):
    with pytest.raises(ValueError, match=f'1 names that nothing here explains: {name}'):
        convert({name: torch.zeros(1), 'cls_token': torch.zeros(1)} if convert is from_vit else {name: torch.zeros(1)})


@pytest.mark.parametrize(('file', 'config'), [('bert', 'roberta'), ('roberta', 'bert')])
def test_bert_is_no_roberta(file, config, tmp_path):
    """Names and shapes are the same; the prefix tells."""
    model = getattr(transformers, {'bert': 'BertForMaskedLM', 'roberta': 'RobertaForMaskedLM'}[file])
    state = model(model.config_class(**TEXT)).state_dict()
    ours = HFTextEncoder(config=dict(TEXT, model_type=config), init_cfg=save(state, tmp_path / 'x.pth'))
    with pytest.raises(ValueError, match=rf'x\.pth: it is a {file}, but config says {config}'):
        ours.init_weights()


@pytest.mark.parametrize('part', ['query', 'key', 'value'])
def test_a_part_of_qkv_that_is_missing_is_an_error(part):
    state = of_hugging_face()
    name = 'encoder.layers.2.blocks.1.attention.self.{}.weight'
    del state[name.format(part)]
    with pytest.raises(ValueError) as error:
        from_swin(state)
    for other in {'query', 'key', 'value'} - {part}:
        assert name.format(other) in str(error.value)


SWAPPED = [
    (from_swin, of_text, 'embeddings.word_embeddings.weight'),
    (from_swin, of_vit, 'cls_token'),
    (from_swin, of_lavt, 'layers.0.fusion.vis_project.0.weight'),
    (from_vit, of_text, 'embeddings.word_embeddings.weight'),
    (from_vit, of_hugging_face, 'embeddings.patch_embeddings.projection.weight'),
    (from_text, of_hugging_face, 'embeddings.patch_embeddings.projection.weight'),
    (from_text, of_vit, 'backbone.cls_token'),
    (from_lavt, of_text, 'embeddings.word_embeddings.weight'),
    (from_lavt, of_original, 'patch_embed.proj.weight'),
]


@pytest.mark.parametrize(('convert', 'state', 'name'), SWAPPED)
def test_weights_of_another_kind_are_an_error(convert, state, name):
    with pytest.raises(ValueError, match=re.escape(name)):
        convert(state())


@pytest.mark.parametrize('convert', [from_swin, from_vit, from_convolutional, from_text, from_lavt])
@pytest.mark.parametrize('checkpoint', [{}, dict(model={}), dict(state_dict=dict(epoch=3)), dict(optimizer={}), [1]])
def test_no_state_dict_is_an_error(convert, checkpoint):
    with pytest.raises(ValueError, match='expected a state dict'):
        convert(checkpoint)


# What does not fit the encoder

ENCODERS = dict(
    swin=(lambda **kwargs: swin_encoder(**kwargs), 'stages.2.blocks.1.attn.w_msa.qkv.weight'),
    vit=(lambda **kwargs: ViTEncoder(**VIT, **kwargs), 'layers.3.attn.proj.weight'),
    resnet=(lambda **kwargs: ResNetEncoder(depth=18, stem_channels=8, base_channels=4, **kwargs), 'layer3.0.bn2.bias'),
    convnext=(
        lambda **kwargs: ConvNeXtEncoder(arch=dict(depths=[1] * 4, channels=[4, 6, 8, 10]), **kwargs),
        'stages.2.0.pointwise_conv1.weight',
    ),
    bert=(
        lambda **kwargs: HFTextEncoder(config=dict(TEXT, model_type='bert'), **kwargs),
        'model.encoder.layer.1.output.dense.weight',
    ),
)
EXTRA = dict(
    swin='stages.2.blocks.7.norm1.weight',
    vit='layers.9.ln1.weight',
    resnet='layer3.9.bn2.bias',
    convnext='stages.2.9.norm.weight',
    bert='model.encoder.layer.9.output.dense.weight',
)


def published(encoder):
    """Random weights of what files of others hold: a ViT's do without the norms and the pyramid that we add."""
    state = scatter(encoder).state_dict()
    added = ('out_norms', 'pyramid') if isinstance(encoder, ViTEncoder) else ()
    return {name: value for name, value in state.items() if not name.startswith(added)}


def refused(build, state, folder):
    """The message of the ValueError with which ``init_weights`` refuses a file, having changed nothing."""
    encoder = build(init_cfg=save(state, folder / 'weights.pth'))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(ValueError) as error:
        encoder.init_weights()
    assert_equal(encoder.state_dict(), before)
    assert str(folder / 'weights.pth') in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('kind', ENCODERS)
def test_what_does_not_fit_is_named_with_its_file(kind, tmp_path):
    build, name = ENCODERS[kind]
    state = published(build())
    assert name in state

    message = refused(build, {k: v for k, v in state.items() if k != name}, tmp_path)
    assert '1 differences' in message and f'{name} is missing' in message
    message = refused(build, {**state, name: torch.ones(2, 3)}, tmp_path)
    assert '1 differences' in message and f'{name} is (2, 3), the model has {tuple(state[name].shape)}' in message
    message = refused(build, {**state, EXTRA[kind]: torch.ones(2)}, tmp_path)
    assert '1 differences' in message and f'{EXTRA[kind]} is not in the model' in message
    message = refused(build, {'no.such.thing': torch.ones(2)}, tmp_path)
    assert 'no.such.thing' in message


@pytest.mark.parametrize('kind', ENCODERS)
def test_only_what_we_add_may_be_missing(kind, tmp_path):
    build = ENCODERS[kind][0]
    state = build().state_dict()
    name = next(iter(published(build())))
    added = dict(
        swin=r'norm\d', vit='out_norms|pyramid', resnet='out_norms|.*num_batches_tracked', convnext=r'norm\d', bert='$'
    )[kind]
    missing = re.findall(r'(\S+) is missing', refused(build, {name: state[name]}, tmp_path))
    assert set(missing) == {k for k in state if k != name and not re.match(added, k)}


@pytest.mark.parametrize('kind', ENCODERS)
def test_weights_under_our_names_load(kind, tmp_path):
    build = ENCODERS[kind][0]
    state = published(build())
    ours = build(init_cfg=save(state, tmp_path / 'weights.safetensors'))
    ours.init_weights()
    assert_equal({name: value for name, value in ours.state_dict().items() if name in state}, state)


@pytest.mark.parametrize(
    ('name', 'shape'),
    [('downsample.reduction.weight', (16, 30)), ('blocks.0.attn.relative_position_bias_table', (15 * 13 * 13, 1))],
    ids=['merging', 'table of a video'],
)
def test_a_wrong_shape_of_what_is_changed_on_the_way_is_named(name, shape, tmp_path):
    state = {k: v for k, v in of_original().items() if not k.startswith('norm')}
    assert name.rsplit('.')[-1] in refused(swin_encoder, {**state, f'layers.0.{name}': torch.ones(shape)}, tmp_path)


@pytest.mark.parametrize('kind', ENCODERS)
def test_a_file_that_is_not_there_is_an_error(kind, tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / 'none.pth')):
        ENCODERS[kind][0](init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'none.pth'))).init_weights()


@pytest.mark.parametrize(('file', 'kind'), [('bert', 'resnet'), ('bert', 'convnext'), ('resnet', 'convnext')])
def test_a_file_of_another_kind_is_refused_by_a_convolutional_encoder(file, kind, tmp_path):
    state = ENCODERS[file][0]().state_dict()
    message = refused(ENCODERS[kind][0], state, tmp_path)
    assert next(iter(state)) in message


# Files


@pytest.mark.parametrize('zipped', [True, False], ids=['zip', 'before torch 1.6'])
def test_what_the_official_code_saves_is_read(zipped, lavt, tmp_path):
    """Weights beside the command line, an optimizer and a schedule."""
    checkpoint = lavt[0]
    layer = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.9**step)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    schedule.step()
    args = argparse.Namespace(
        lr=5e-5, model='lavt', mha='', ddp_trained_weights=False, nested=argparse.Namespace(a=[1])
    )
    torch.save(
        dict(checkpoint, optimizer=optimizer.state_dict(), epoch=39, args=args, lr_scheduler=schedule.state_dict()),
        tmp_path / 'lavt.pth',
        _use_new_zipfile_serialization=zipped,
    )
    read = read_checkpoint(tmp_path / 'lavt.pth')
    assert_equal(from_lavt(read), from_lavt(checkpoint))
    assert read['epoch'] == 39 and not isinstance(read['args'], argparse.Namespace)


def test_what_mmengine_saves_is_read(tmp_path):
    """Weights beside logged numbers."""
    hub = MessageHub.get_instance('test_what_mmengine_saves_is_read')
    hub.update_scalar('train/loss', 0.5)
    hub.update_scalar('train/loss', torch.tensor(0.25).numpy())
    hub.update_info('iter', 3)
    state = of_mmseg()
    torch.save(dict(state_dict=state, message_hub=hub.state_dict(), meta=dict(iter=3)), tmp_path / 'swin.pth')
    assert_equal(from_swin(read_checkpoint(tmp_path / 'swin.pth')), from_swin(state))


class Asks:
    """Pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('name', ['swin.pth', 'pytorch_model.bin', 'old.pth', 'pickle.pth'])
@pytest.mark.parametrize('place', ['beside', 'inside'])
@pytest.mark.parametrize(
    'call',
    [
        lambda file: (os.mkdir, (str(file),)),
        lambda file: (Path.touch, (file,)),
        lambda file: (eval, (f'open({str(file)!r}, "w")',)),
        lambda file: (getattr, (Asks(getattr, (argparse.Namespace, '__init__')), '__globals__')),
        lambda file: (getattr, (argparse.Namespace, '__init__')),
    ],
    ids=['mkdir', 'touch', 'eval', 'getattr twice', 'getattr'],
)
def test_a_file_that_asks_for_anything_else_is_refused(call, place, name, tmp_path):
    sign = tmp_path / 'run'
    asks = Asks(*call(sign))
    state = {'norm0.weight': torch.ones(2)}
    checkpoint = dict(model=state, args=asks) if place == 'beside' else dict(model={**state, 'norm0.bias': asks})
    if name == 'pickle.pth':
        (tmp_path / name).write_bytes(pickle.dumps(checkpoint))
    else:
        torch.save(checkpoint, tmp_path / name, _use_new_zipfile_serialization=name != 'old.pth')
    encoder = swin_encoder(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / name)))
    with pytest.raises(ValueError, match=f'{tmp_path / name}: not a checkpoint that can be read safely'):
        encoder.init_weights()
    assert not sign.exists()


def test_a_fingerprint_is_of_names_and_values():
    state = dict(weight=torch.randn(3, 4), steps=torch.tensor(7))
    of_another_kind = {name: value.clone(memory_format=torch.preserve_format) for name, value in state.items()}
    of_another_kind['weight'] = of_another_kind['weight'].t().contiguous().t()
    assert fingerprint(state) == fingerprint(of_another_kind)
    changed = {**state, 'weight': state['weight'].clone()}
    changed['weight'][0, 0] = torch.nextafter(changed['weight'][0, 0], torch.tensor(torch.inf))
    renamed = {name.upper(): value for name, value in state.items()}
    assert len({fingerprint(other) for other in (state, changed, renamed)}) == 3
