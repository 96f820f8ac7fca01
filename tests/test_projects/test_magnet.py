"""MagNet against numbers recorded from its released code."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from recorded_sizes import bert_of, swin_of
from records import keep, norm_of, official_again, project_of, record_of
from slow import slow
from torch import Tensor

from mgfe_ris.apis import RISInferencer, build_model, export_onnx, input_size, load_config, save_converted
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.encoders.layout import to_tokens
from mgfe_ris.structures import MaskRule, SegDataSample, scores_and_mask

record = record_of('magnet')
project = project_of('magnet', autouse=True)
RULE = dict(threshold=0.5, of='logits', resize='bilinear', align_corners=True)


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, in float64."""
    import magnet
    import magnet_checkpoints

    init_default_scope('mmseg')
    sizes, state = record['config'], record['state_dict']
    positions = len(state['language_model.embeddings.position_embeddings.weight'])
    layers = 1 + max(int(m[1]) for name in state if (m := re.search(r'encoder\.layer\.(\d+)\.', name)))
    model = MODELS.build(
        dict(
            type=magnet.MagNet,
            data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(0,) * 3, std=(1,) * 3),
            encoder=swin_of(sizes),
            text_encoder=bert_of(sizes, positions, layers),
            words_read=sizes['pwam_idx'],
            fusion=dict(num_heads=sizes['fusion_heads']),
            pixel_decoder=dict(
                channels=sizes['conv_dim'],
                layers=sizes['encoder_layers'],
                heads=sizes['nheads'],
                hidden=sizes['encoder_ffn'],
            ),
            mask_channels=sizes['mask_dim'],
            sentence_channels=sizes['lang_proj'],
            mask_decoder=dict(layers=sizes['dec_layers'] - 1, heads=sizes['nheads'], hidden=sizes['decoder_ffn']),
            loss=dict(type='MagNetMaskLoss'),
            mask=RULE,
        )
    )
    weights = magnet_checkpoints.from_magnet({'model': state})
    assert not differences(weights, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(weights, strict=False)
    return model.double().eval()


def _inputs(record: dict) -> tuple[Tensor, Tensor, Tensor]:
    inputs = record['inputs']
    return inputs['image'], inputs['ids'], inputs['mask'].bool()


def test_recorded_features(record, model):
    """Whatever was recorded of the towers, fusions and decoders, in the order in which it is computed."""
    seen: dict[str, Tensor] = {}
    pixels, words, masks = [], [], []
    kept = {'text_embeddings': (model.text_encoder.model.embeddings, _same)}
    for i, (image, text) in enumerate(zip(model.image_fusion, model.text_fusion, strict=True), 1):
        image.register_forward_pre_hook(lambda _, inputs: pixels.append(to_tokens(inputs[0])))
        text.register_forward_pre_hook(lambda _, inputs: words.append(inputs[0]))
        parts = zip((1, 2, 3, 6), image.pyramid_attention, strict=True)
        kept |= {f'image_pyramid{i}_{side}': (attention, to_tokens) for side, attention in parts}
        kept[f'image_words{i}'] = image.attention, to_tokens
        kept[f'image_out{i}'] = image, lambda out: out[0]
        kept[f'text_after{i}'] = text, _same
        kept[f'text_attention{i}'] = text.output, lambda out: F.layer_norm(out.mT, out.shape[1:2]).mT
        # the norm that nothing reads
        kept[f'text_residual{i}'] = text.project, lambda out, norm=text.norm: norm(F.gelu(out))
    kept |= {f'decoder_level{k}': (model.pixel_decoder, lambda maps, k=k: maps[k]) for k in range(3)}
    kept['mask_features'] = model.mask_features, _same
    model.mask_decoder.register_forward_hook(lambda module, inputs, out: masks.extend(out))
    kept['class_logits'] = model.mask_decoder.norm, model.mask_decoder.class_embed
    for name, (module, layout) in kept.items():
        keep(module, seen, name, layout)
    with torch.no_grad():
        logits = model.segment(*_inputs(record))
    seen |= {f'image_stage{i}': x for i, x in enumerate(pixels, 1)}
    seen |= {f'text_stage{i}': x for i, x in enumerate(words, 1)}
    seen |= {f'masks_after_layer{j}': mask for j, mask in enumerate(masks[:-1])}
    size = record['inputs']['image'].shape[-2:]
    seen['probability'] = F.interpolate(logits, size, mode='bilinear', align_corners=True).sigmoid()
    assert seen.keys() == record['features'].keys()
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def _same(x: Tensor) -> Tensor:
    return x


def test_recorded_logits(record, model):
    image, ids, mask = _inputs(record)
    with torch.no_grad():
        logits = model.segment(image, ids, mask)
        alone = model.segment(image[:1], ids, mask)
        whole = model.segment(image[:1].expand_as(image), ids, mask)
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-6, msg='sentences about one photo')


def test_recorded_masks(record):
    size = record['inputs']['image'].shape[-2:]
    sample = SegDataSample(metainfo=dict(mask_rule=MaskRule(**RULE), img_shape=tuple(size)))
    known = record['features']['probability']
    for logits, mask, expected in zip(record['logits'], record['masks'], known, strict=True):
        scores, ours = scores_and_mask(logits, size, sample)
        torch.testing.assert_close(scores.double(), expected[0], rtol=0, atol=1e-5)  # masks are made in float32
        sure = (expected[0] - 0.5).abs() > 1e-5
        assert torch.equal(ours[sure], mask[sure])


def test_recorded_weights_come_back_bit_by_bit(record):
    import magnet_checkpoints

    state = record['state_dict']
    back = magnet_checkpoints.to_magnet(magnet_checkpoints.from_magnet(state))['model']
    assert back.keys() == state.keys()
    for name, value in back.items():
        assert value.dtype == state[name].dtype and torch.equal(value, state[name]), name


def test_recorded_gradients(record, model):
    """Three steps of a made-up recipe, in which nothing is official but the gradients."""
    import magnet_checkpoints

    told = record['training']
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 - step / 10) ** 0.9)
    image, ids, mask = _inputs(record)
    model.train()
    for step, expected in enumerate(told['losses']):
        terms = model.loss_function(model.segment(image, ids, mask), told['target'])
        loss = sum(terms.values())
        assert terms['loss_bce'].item() == pytest.approx(told['bce'][step], abs=1e-9)
        assert terms['loss_dice'].item() == pytest.approx(told['dice'][step], abs=1e-9)
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        norm = norm_of(gradients.values())
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        if step == 0:
            without = {name: p for name, p in model.named_parameters() if name not in gradients}
            # BERT's names and Swin's are those of their own tables
            official = magnet_checkpoints.to_magnet(without)['model'].keys()
            assert official == {*told['without_gradient']}
        assert optimizer.param_groups[0]['lr'] == pytest.approx(told['lrs'][step])
        optimizer.step()
        schedule.step()


SMALL = {
    'model.encoder.embed_dims': 16,
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.num_heads': (1, 1, 1, 1),
    'model.encoder.window_size': 2,
    'model.text_encoder.config': dict(
        model_type='bert',
        vocab_size=420,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
    ),
    'model.words_read': (1, 2, 3, 4),
    'model.pixel_decoder': dict(channels=32, layers=1, heads=2, points=2, hidden=32),
    'model.mask_decoder': dict(layers=3, heads=2, hidden=32),
    'model.mask_channels': 32,
    'model.sentence_channels': 32,
    'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64),
}
"""Options that leave of a full config what a test has time for."""


def options_of(config: str) -> dict:
    return {} if 'tiny' in config else SMALL


def build(project: Path, config: str, **changes):
    torch.manual_seed(0)
    options = options_of(config) | {f'model.{name}': value for name, value in changes.items()}
    return build_model(load_config(project / config, options, from_scratch=True))


@pytest.mark.parametrize('data', ['refcoco', 'refcoco+', 'gref-umd', 'gref-google'])
def test_a_config_is_the_released_model_at_480_pixels(project, data):
    for kind in ('', '_grounding'):
        cfg = load_config(project / f'magnet_swin-base_{data}{kind}.py')
        assert input_size(cfg) == (480, 480) and cfg.model.data_preprocessor.tokenizer.max_tokens == 20
        assert ('grounding' in cfg.model) == ('alignment' in cfg.model) == bool(kind)
        assert 'text_mask' not in cfg.model  # the released one


NEVER_READ = r'encoder\.norm\d|encoder\.out_norms|image_fusion\.3\.gate|text_fusion\.\d\.norm|mask_decoder\.class_embed'


@pytest.mark.parametrize(
    'config, unread, gates',
    [
        ('magnet_swin-base_refcoco.py', r'text_fusion\.3|lang_proj', 'at 0'),
        ('magnet_swin-base_gref-umd_grounding.py', '$', 'at 0'),
        ('magnet_swin-base_refcoco_intended.py', r'text_fusion\.3|lang_proj', 'drawn'),
        ('magnet_tiny_refshapes.py', '$', 'drawn'),
    ],
)
def test_configs_build_and_train(project, config, unread, gates):
    """What something reads is trained, and nothing else; a prediction has the truth's size."""
    model = build(project, config).train()
    cfg = load_config(project / config)
    assert all(fusion.released == (gates == 'at 0') for fusion in model.text_fusion)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    samples = [SegDataSample(metainfo=dict(sentence=text, img_shape=(64, 64))) for text in ('the red ring', 'blue dog')]
    for k, sample in enumerate(samples):
        truth = torch.zeros(1, 64, 64, dtype=torch.int64)
        truth[:, 8 : 40 + k, 20:50] = 1
        sample.gt_sem_seg = PixelData(data=truth)
    batch = dict(inputs=torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), data_samples=samples)
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(3):
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        expected = {'loss_bce', 'loss_dice'}
        if model.grounding is not None:
            expected |= {'loss_grounding', 'loss_pixels', 'loss_text'}
        assert losses.keys() == expected
        wrapper.update_params(sum(losses.values()))
    for name, parameter in model.named_parameters():
        trained = not re.match(rf'{NEVER_READ}|{unread}', name)
        assert parameter.requires_grad == trained, name
        if gates == 'at 0' and re.match(r'text_fusion.*gate', name):
            assert not parameter.any(), name  # where the gradient of both matrices is 0
        elif trained:
            behind_such_a_gate = gates == 'at 0' and name.startswith('text_fusion')  # by weight decay alone
            assert behind_such_a_gate or not torch.equal(parameter, before[name]), name
    tested = model.eval().test_step(batch)
    assert tested[0].pred_sem_seg.data.shape == (1, 64, 64) and tested[0].mask_rule.align_corners


def test_words_read_pixels_or_padding(project):
    """As released, words read what padding saw, all the same, and nothing without padding; as meant, the reverse."""
    from magnet_fusion import TextFusion

    torch.manual_seed(0)
    words, v = torch.randn(2, 6, 12).double(), torch.randn(2, 8, 5, 5).double()
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6]).bool()
    seen = {}
    for kind in ('released', 'meant'):
        torch.manual_seed(1)
        fusion = seen[kind] = TextFusion(8, 12, kind).double()
        torch.nn.init.normal_(fusion.gate[0].weight), torch.nn.init.normal_(fusion.gate[2].weight)
    padded_words = words.clone()
    padded_words[0, 4:] = 7.0
    others = v.flip(0)
    released, meant = (heard_by(seen[kind], words, v, mask) for kind in ('released', 'meant'))
    torch.testing.assert_close(released[0, :4], released[:1, 0].expand(4, -1))
    assert released[0, 0].abs().max() > 0.1
    torch.testing.assert_close(released[1], torch.zeros_like(released[1]), rtol=0, atol=1e-6)
    assert (released[0, 0] - heard_by(seen['released'], padded_words, v, mask)[0, 0]).abs().max() > 0.1
    assert (meant[0, 0] - meant[0, 1]).abs().max() > 0.1 and meant[1].abs().max() > 0.1
    assert (meant[0, 0] - heard_by(seen['meant'], words, others, mask)[0, 0]).abs().max() > 0.1
    torch.testing.assert_close(heard_by(seen['meant'], padded_words, v, mask)[0, :4], meant[0, :4])
    shorter = seen['meant'](words[:1, :4], v[:1], mask[:1, :4])
    torch.testing.assert_close(seen['meant'](words, v, mask)[:1, :4], shorter)
    with pytest.raises(ValueError, match='mask must be one of'):
        TextFusion(8, 12, 'other')


def heard_by(fusion, words: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """What the words' own projection is multiplied with."""
    inputs = []
    handle = fusion.project.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    fusion(words, v, mask)
    handle.remove()
    return inputs[0] / F.gelu(fusion.word(words))


def test_the_released_arithmetic_is_of_numbers_that_float16_does_not_hold(project):
    from magnet_fusion import TextFusion

    torch.manual_seed(0)
    fusion = TextFusion(8, 12)
    torch.nn.init.normal_(fusion.gate[0].weight), torch.nn.init.normal_(fusion.gate[2].weight)
    words, v, mask = torch.randn(1, 4, 12) * 20, torch.randn(1, 8, 5, 5), torch.tensor([[1, 1, 0, 0]]).bool()
    with torch.autocast('cpu', torch.float16):
        low = fusion(words, v, mask)
    assert low.isfinite().all()


def test_hidden_words_are_inside_of_the_sentence(project):
    """Never its marks, never padding; 8 of 10 become the mark of hidden words, 1 of 10 stays."""
    from magnet_losses import MaskGrounding

    torch.manual_seed(0)
    grounding = MaskGrounding(8, 6, 50, mask_id=4, share=0.5, layers=1, heads=2)
    ids = torch.randint(5, 50, (400, 7))
    mask = torch.ones(400, 7, dtype=torch.bool)
    mask[::2, 5:] = False
    told, chosen = grounding.hide(ids, mask)
    assert not chosen[:, 0].any() and not chosen[::2, 4:].any() and not chosen[1::2, 6].any()
    assert torch.equal(told[~chosen], ids[~chosen])
    for share, there in ((0.5, chosen[::2, 1:4]), (0.8, told[chosen] == 4), (0.1, told[chosen] == ids[chosen])):
        assert there.float().mean().item() == pytest.approx(share, abs=0.06)
    for wrong in (dict(share=0.0), dict(mask_id=50)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            MaskGrounding(8, 6, 50, **{'mask_id': 4, **wrong})


def test_grounding_names_what_was_hidden_and_reads_the_target(project):
    from magnet_losses import MaskGrounding, boxes_of

    torch.manual_seed(0)
    grounding = MaskGrounding(8, 6, 50, mask_id=4, layers=1, heads=2)
    target = torch.zeros(2, 8, 8, dtype=torch.int64)
    target[0, 2:4, 4:8] = 1
    assert boxes_of(target == 1).tolist() == [[0.5, 0.25, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]]
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    chosen = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0]]).bool()
    words = torch.randn(2, 4, 8, requires_grad=True)
    features = torch.randn(2, 6, 4, 4, requires_grad=True)
    ids = torch.randint(5, 50, (2, 4))
    loss = grounding(words, mask, features, target, ids, chosen)
    of_words, of_features = torch.autograd.grad(loss, (words, features))
    assert of_words[0].any(1).all() and not of_words[1].any()
    inside = F.adaptive_avg_pool2d(target.float()[:, None], 4)[:, 0] > 0
    assert torch.equal(of_features.any(1), inside)
    assert grounding(words, mask, features, target, ids, torch.zeros_like(chosen)).item() == 0


def test_alignment_is_its_two_contrasts(project):
    """Against sums over one pixel after the other, for a target that covers whole cells of the map."""
    from magnet_losses import Alignment

    torch.manual_seed(0)
    features, sentence = torch.randn(1, 5, 2, 3).double(), torch.randn(1, 5).double()
    target = torch.tensor([[[1, 1, 0], [0, 1, 0]]])
    losses = Alignment(temperature=0.5, weight=3.0)(features, sentence, target)
    pixels, inside = features[0].flatten(1).T, [0, 1, 4]

    def near(a: Tensor, b: Tensor) -> Tensor:
        return (F.cosine_similarity(a, b, dim=0) / 0.5).exp()

    of_pixels = [
        -(sum(near(pixels[i], pixels[j]) for j in inside) / sum(near(pixels[i], other) for other in pixels)).log()
        for i in inside
    ]
    everything = sum(near(pixel, sentence[0]) for pixel in pixels)
    of_text = [-(near(pixels[i], sentence[0]) / everything).log() for i in inside]
    assert losses['loss_pixels'].item() == pytest.approx(3 * sum(of_pixels).item() / 3, abs=1e-5)
    assert losses['loss_text'].item() == pytest.approx(3 * sum(of_text).item() / 3, abs=1e-5)
    nothing = Alignment()(features, sentence, torch.zeros_like(target))
    assert all(loss.item() == 0 for loss in nothing.values())


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(words_read=(1, 2, 3)), 'words_read must be 4 numbers of layers'),
        (dict(words_read=(1, 3, 2, 4)), 'none smaller than the one before'),
        (dict(words_read=(1, 2, 3, 5)), 'up to 4'),
        (dict(text_mask='other'), 'mask must be one of'),
        (dict(sentence_channels=32), 'alignment compares sentences of sentence_channels=32'),
        ({'text_mask': 'released', 'data_preprocessor.tokenizer.trim': True}, "trim=False, or text_mask='meant'"),
        ({'pixel_decoder.channels': 48}, r'channels \(48\) must be a multiple of 32'),
        ({'mask_decoder.heads': 3}, r'channels \(64\) must be a multiple of heads \(3\)'),
        ({'grounding.heads': 3}, r'words of 128 channels: expected a multiple of grounding\.heads \(3\)'),
        ({'text_encoder.config.model_type': 'roberta'}, 'text_encoder is a roberta'),
    ],
)
def test_parts_that_do_not_fit_are_refused(project, wrong, message):
    with pytest.raises(ValueError, match=message):
        build(project, 'magnet_tiny_refshapes.py', **wrong)


def test_there_is_one_query(project):
    """Of several, nothing here would say whose mask is the model's."""
    with pytest.raises(TypeError, match='queries'):
        build(project, 'magnet_tiny_refshapes.py', **{'mask_decoder.queries': 2})
    assert build(project, 'magnet_tiny_refshapes.py').mask_decoder.query_feat.shape == (1, 64)


def test_names_of_other_models_are_refused(project):
    import magnet_checkpoints

    known = {f'image_model.{name}.weight': torch.zeros(1, 1) for name in ('layers.0.mixer.0', 'norm0')}
    ours = {'encoder.norm0.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match='no names of MagNet'):
        magnet_checkpoints.from_magnet({'backbone.x': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: classifier\.other\.weight'):
        magnet_checkpoints.from_magnet({**known, 'classifier.other.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: decode_head\.y'):
        magnet_checkpoints.to_magnet({**ours, 'decode_head.y': torch.zeros(1)})


def test_a_full_model_has_the_official_size(project):
    """Parameters, part by part; operations by the official convention, which counts layers, not products of tensors."""
    with torch.device('meta'), _Numbers():
        model = build_model(load_config(project / 'magnet_swin-base_refcoco.py', from_scratch=True)).eval()
    parts = dict(
        image=[model.encoder, model.image_fusion],
        bert=[model.text_encoder],
        text=[model.text_fusion],
        pixels=[model.pixel_decoder, model.mask_features],
        query=[model.mask_decoder],
        projection=[model.lang_proj],
    )
    sizes = {part: sum(_count(module) for module in modules) / 1e6 for part, modules in parts.items()}
    known = dict(image=152.770, bert=108.892, text=17.129, pixels=3.589, query=14.408, projection=0.197)
    assert sizes == pytest.approx(known, abs=0.0006)
    assert _count(model) == 296_984_954
    ours = _operations(model, parts)
    assert ours == pytest.approx(OURS, abs=0.001)
    for part, extra in _official_extra(model).items():
        ours[part] += extra
    known = dict(image=89.574, bert=2.550, text=5.792, pixels=59.640, query=0.011, projection=0)
    assert ours == pytest.approx(known, abs=0.001)
    assert sum(ours.values()) == pytest.approx(157.569, abs=0.001)
    assert sum(ours.values()) - ours['bert'] == pytest.approx(155.018, abs=0.001)
    assert sum(ours.values()) - ours['bert'] - ours['text'] == pytest.approx(149.226, abs=0.001)


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


class _Numbers(torch.overrides.TorchFunctionMode):
    """Swin reads the rates of its dropped paths out of a tensor, which must so have numbers."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **({'device': 'cpu'} | kwargs if func is torch.linspace else kwargs))


OF_PYRAMIDS = 1e-6
"""eps of norms that the official count leaves out, for they are of a class of their own."""
OURS = dict(image=78.925, bert=2.550, text=5.733, pixels=59.640, query=0.011, projection=0)
"""Billions of operations."""


def _operations(model, parts: dict) -> dict[str, float]:
    """Billions, of linear layers, convolutions and layer norms, which count 4 for each number."""
    counts = dict.fromkeys(parts, 0.0)

    def count(module, inputs, out, part: str) -> None:
        each = module.weight[0].numel()
        if isinstance(module, torch.nn.LayerNorm):
            each = 0 if module.eps == OF_PYRAMIDS else 4
        counts[part] += out.numel() * each / 1e9

    for part, modules in parts.items():
        for module in (module for top in modules for module in top.modules()):
            if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.LayerNorm)):
                module.register_forward_hook(partial(count, part=part))
    photo = torch.zeros(1, 3, 480, 480, device='meta')
    ids = torch.zeros(1, 30, dtype=torch.long, device='meta')
    with torch.no_grad():
        model.segment(photo, ids, ids == 0)
    return counts


def _official_extra(model) -> dict[str, float]:
    """Billions that the official count has besides."""
    windows = 0
    for i, stage in enumerate(model.encoder.stages):
        side, width = 120 // 2**i, model.encoder.num_features[i]
        padded = -(-side // 12) * 12
        for block in stage.blocks:
            # queries, keys and values of padding, which ours computes for one pixel, and its output
            padding = padded**2 - side**2
            windows += width**2 * (3 * max(padding - 1, 0) + padding)
            # exponentials, sums and quotients of each row of scores
            windows += (padded // 12) ** 2 * block.attn.w_msa.num_heads * 144 * (3 * 144 - 1)
    # instance norms of keys and values, 2 for each number
    norms = sum(2 * 2 * (120 // 2**i) ** 2 * 768 for i in range(4))
    return dict(image=windows / 1e9, text=norms / 1e9)


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch):
    """Which the inferencer opens, at any size of photo; and the way back is bit by bit."""
    import magnet_checkpoints

    model = build(project, 'magnet_swin-base_refcoco.py')
    official = magnet_checkpoints.to_magnet(model.state_dict())
    torch.save({'epoch': 3, **official}, tmp_path / 'model_best.pth')
    state = convert_checkpoint(tmp_path / 'model_best.pth', model.from_official)
    folder = save_converted(model, state, tmp_path / 'model_best.pth', tmp_path / 'magnet')
    inferencer = RISInferencer(folder)
    for name, value in model.state_dict().items():
        assert torch.equal(value, inferencer.model.state_dict()[name]), name
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result = inferencer(photo, 'the red ring')
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.5)
    back = official_again(monkeypatch, folder)['model']
    assert back.keys() == official['model'].keys()
    assert all(torch.equal(value, official['model'][name]) for name, value in back.items())


@slow('a minute for each')
@pytest.mark.parametrize('config', ['magnet_swin-base_refcoco.py', 'magnet_swin-base_refcoco_intended.py'])
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path, config):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    model = build(project, config).eval()
    assert export_onnx(model, tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
