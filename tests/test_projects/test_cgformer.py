"""CGFormer against numbers recorded from its official code."""

import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from recorded_sizes import bert_of, swin_of
from records import ROOT, batch_of, keep, norm_of, official_again, official_parameters, project_of, record_of
from slow import slow
from torch import Tensor

from mgfe_ris.apis import RISInferencer, build_model, export_onnx, input_size, load_config, save_converted
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.engine.schedulers import PolynomialLR
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.fusion import MGFE, DynamicWeight
from mgfe_ris.models.losses import CombineLoss
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.structures import SegDataSample

record = record_of('cgformer')
project = project_of('cgformer')
CONFIGS = sorted(path.name for path in (ROOT / 'projects/cgformer').glob('cgformer_*_*.py'))
SMALL = {
    'model.text_encoder.config': dict(
        model_type='bert', hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    ),
    'model.encoder.embed_dims': 8,
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.num_heads': (1, 1, 2, 2),
    'model.neck.channels': (8, 16, 32, 64),
    'model.neck.text_channels': 16,
    'model.decoder.channels': 16,
}
"""Options that leave of a full config what a test has time for."""
UNREAD = r'decoder\.layers\.\d\.loadtoken\.(norm|mlp)\.'
"""Official parameters that nothing reads; we have none such."""


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, in float64, with noise in evaluation, without dropout."""
    import cgformer

    init_default_scope('mmseg')
    sizes, state = record['config'], cgformer.from_cgformer(record['state_dict'])
    channels = [sizes['embed_dim'] * 2**i for i in range(4)]
    positions = len(state['text_encoder.model.embeddings.position_embeddings.weight'])
    model = MODELS.build(
        dict(
            type=cgformer.CGFormer,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            text_encoder=bert_of(sizes, positions),
            encoder=swin_of(sizes),
            neck=dict(
                type='MGFENeck',
                channels=channels,
                text_channels=sizes['text_dim'],
                attention=dict(type='PixelWordAttention', num_heads=sizes['fusion_heads']),
                weigh=dict(type='LanguageGate'),
                decoder_reads='G',
            ),
            decoder=dict(
                channels=sizes['token_dim'],
                tokens=sizes['num_token'],
                pixels=[len(state[f'decoder.places.{step}']) for step in range(3)],
                dropout=0.0,
                noise='always',
            ),
            loss=dict(type='DiceCrossEntropy'),
        )
    )
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.double().eval()


@pytest.fixture
def noise(monkeypatch, project) -> Callable[[list[Tensor]], None]:
    """Called with what is to be drawn next, in its order."""
    import cgformer_decoder

    def draw(tensors: list[Tensor]) -> None:
        left: Iterator[Tensor] = iter(tensors)

        def next_one(like: Tensor) -> Tensor:
            drawn = next(left)
            assert drawn.shape == like.shape
            return drawn

        monkeypatch.setattr(cgformer_decoder, 'gumbel_noise', next_one)

    return draw


def test_recorded_features(record, model, noise):
    """Whatever was recorded of text, stages, fusions, tokens, maps of groups, and projector."""
    inputs, seen, groups = record['inputs'], {}, []
    keep(model.text_encoder, seen, 'text', lambda out: out.words)
    for i in range(4):
        keep(model.encoder.get_submodule(f'norm{i}'), seen, f'stage{i + 1}_out')
    for i, fuse in enumerate(model.decoder.fuse, start=1):
        keep(fuse, seen, f'fused{i}')
    for i, read in enumerate(model.decoder.read, start=2):
        keep(read, seen, f'tokens_read{i}')
    for group in model.decoder.group:
        group.register_forward_hook(lambda module, inputs, out: groups.append((inputs[0], *out)))
    keep(model.projector.vis, seen, 'pixels', lambda out: model.projector.out(out)[..., ::8, ::8])
    keep(model.projector, seen, 'projector')
    noise(inputs['gumbel'])
    with torch.no_grad():
        model.segment(inputs['image'], inputs['ids'], inputs['mask'].bool())
    seen['projector_pixels_every_8th'] = seen.pop('pixels')
    seen['tokens_read1'] = groups[0][0]
    for i, (_, tokens, has) in enumerate(groups, start=1):
        seen |= {f'tokens_grouped{i}': tokens, f'hit_map{i}': has.view_as(record['features'][f'hit_map{i}'])}
    assert record['features'].keys() <= seen.keys()
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def test_recorded_logits(record, model, noise):
    inputs = record['inputs']
    noise(inputs['gumbel'])
    with torch.no_grad():
        logits = model.segment(inputs['image'], inputs['ids'], inputs['mask'].bool())
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)
    assert torch.equal(logits[:, 0].sigmoid() > 0.5, record['masks'])


def test_recorded_training(record, model, noise):
    """Three steps by the official groups and schedule: each term, rates, norms of gradients, a running mean."""
    told, inputs = record['training'], record['inputs']
    groups = _groups(model, told['groups'])
    optimizer = torch.optim.AdamW([dict(params=group) for group in groups], weight_decay=1e-4, amsgrad=True)
    for group, lr in zip(optimizer.param_groups, (1e-4, 1e-4, 5e-5, 5e-5), strict=True):
        group['lr'] = lr
    schedule = PolynomialLR(optimizer, power=0.9, eta_min=0.0, begin=0, end=told['total_steps'], by_epoch=False)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=target[None].long())) for target in told['target']]
    for step, expected in enumerate(told['losses']):
        model.train()
        noise(told['gumbel'][step])
        losses = model(inputs['image'], inputs['ids'], inputs['mask'].bool(), samples, mode='loss')
        weights = dict(loss_hit1=0.001, loss_hit2=0.01, loss_hit3=0.1, loss_dice=1, loss_cross_entropy=1)
        terms = [losses[name].item() / weight for name, weight in weights.items()]
        assert losses.keys() == weights.keys()
        assert terms == pytest.approx(told['terms'][step], abs=1e-9)
        loss = sum(losses.values())
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        optimizer.zero_grad()
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        norm = norm_of(gradients.values())
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        assert [group['lr'] for group in optimizer.param_groups] == pytest.approx(told['lrs'][step], rel=1e-12)
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(model.decoder.fuse[0].norm1.running_mean, told['running_mean_after'], rtol=0, atol=1e-9)
    without = {name for name, parameter in _official_parameters(model).items() if parameter.grad is None}
    assert without == {name for name in told['without_gradient'] if not re.match(UNREAD, name)}


def _official_parameters(model) -> dict[str, torch.nn.Parameter]:
    return official_parameters(model, 'model_state_dict', rf'^({UNREAD})|relative_position_index$')


def _groups(model, official: list[list[str]]) -> list[list[torch.nn.Parameter]]:
    """The groups of the record, of our parameters: each is in one."""
    parameters = _official_parameters(model)
    assert {name for group in official for name in group if not re.match(UNREAD, name)} == parameters.keys()
    return [[parameters[name] for name in group if name in parameters] for group in official]


def test_recorded_groups_are_those_of_the_config(record, model, project):
    """Encoders at half of the rate, what lies between them and after them at the whole; everything decays."""
    cfg = load_config(project / 'cgformer_swin-base_refcoco.py')
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    ours = {id(p): group for group in wrapper.param_groups for p in group['params']}
    for group, lr in zip(_groups(model, record['training']['groups']), record['training']['lrs'][0], strict=True):
        for parameter in filter(lambda p: p.requires_grad, group):
            assert ours[id(parameter)]['lr'] == pytest.approx(lr)
            assert ours[id(parameter)]['weight_decay'] == 1e-4 and ours[id(parameter)]['amsgrad']


def test_recorded_weights_come_back_bit_by_bit(record, project):
    """But for those that nothing reads."""
    import cgformer

    state = record['state_dict']
    back = cgformer.to_cgformer(cgformer.from_cgformer({f'module.{k}': v for k, v in state.items()}))
    assert back['model_state_dict'].keys() == state.keys()
    for name, value in back['model_state_dict'].items():
        assert value.dtype == state[name].dtype and value.shape == state[name].shape, name
        if re.match(UNREAD, name):
            assert value.eq(name.endswith('norm.weight')).all(), name
        else:
            assert torch.equal(value, state[name]), name
    again = cgformer.from_cgformer(back)
    assert all(torch.equal(value, again[name]) for name, value in cgformer.from_cgformer(state).items())


def _count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_a_full_model_has_the_official_size(project):
    """Millions of parameters and billions of multiply-accumulates, by part, but for parameters that nothing reads."""
    with shapes_only():
        model = build_model(load_config(project / 'cgformer_swin-base_refcoco.py', from_scratch=True)).eval()
    unread = 2 * (_count(model.decoder.read[0].norm) + _count(model.decoder.read[0].mlp))
    assert (_count(model) + unread) / 1e6 == pytest.approx(253.706, abs=5e-4)
    assert unread == 2_102_272
    parts = dict(
        swin=([model.encoder, model.neck], 98.197),
        bert=([model.text_encoder], 108.892),
        fuse=([model.decoder.fuse], 20.653),
        group1=([model.decoder.group[0]], 2.104),
        group2=([model.decoder.group[1]], 2.104),
    )
    for name, (modules, millions) in parts.items():
        assert sum(map(_count, modules)) / 1e6 == pytest.approx(millions, abs=5e-4), name
    assert (_count(model.projector) + model.decoder.tokens.numel()) / 1e6 == pytest.approx(5.247, abs=5e-4)
    readers = _count(model.decoder.read) + _count(model.decoder.places) + unread
    assert readers / 1e6 == pytest.approx(16.509, abs=5e-4)
    assert _count(model.decoder.places) / 1e6 == pytest.approx(9.677, abs=5e-4)
    photo, ids = torch.zeros(1, 3, 480, 480, device='meta'), torch.zeros(1, 30, dtype=torch.long, device='meta')
    macs = _as_thop_counts(model, lambda: model.segment(photo, ids, ids == 0))
    # the projector's last layer is a product with the token here, a convolution of the photo's pixels there
    macs['projector'] += 480**2 * 512**2 / 1e9
    told = {
        'text_encoder': 2.550,
        'decoder.fuse': 106.246,
        'decoder.group.0': 0.477,
        'decoder.group.1': 9.480,
        'decoder.read': 0.053,
    }
    for name, billions in {**told, 'projector': 742.087}.items():
        assert macs[name] == pytest.approx(billions, abs=5e-4), name


def _as_thop_counts(model, run: Callable[[], object]) -> dict[str, float]:
    """Convolutions (of up-sampled maps as if these were made), linear layers, norms and up-samplings, by part."""
    macs = dict.fromkeys(
        ('text_encoder', 'decoder.fuse', 'decoder.group.0', 'decoder.group.1', 'decoder.read', 'projector'), 0.0
    )

    def count(part: str, module, out: Tensor) -> None:
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            each = module.weight[0].numel()
        else:
            each = 11 if isinstance(module, torch.nn.Upsample) else 4
        macs[part] += out.numel() * each / 1e9

    kinds = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d, torch.nn.LayerNorm, torch.nn.Upsample)
    for part in macs:
        for module in model.get_submodule(part).modules():
            if isinstance(module, kinds):
                module.register_forward_hook(lambda module, inputs, out, part=part: count(part, module, out))
    with torch.no_grad():
        run()
    return macs


def options_of(config: str) -> dict:
    return {} if 'tiny' in config else dict(SMALL)


@pytest.mark.parametrize('config', [name for name in CONFIGS if 'tiny' not in name])
def test_a_config_is_the_official_recipe(project, config):
    """64 photos of 480 pixels on 8 GPUs, AdamW with AMSGrad, 50 epochs; masks of the photo's size, by its rule."""
    cfg = load_config(project / config)
    assert (cfg.train_dataloader.batch_size, cfg.auto_scale_lr.base_batch_size) == (8, 64)
    assert input_size(cfg) == (480, 480)
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, weight_decay=1e-4, amsgrad=True)
    assert (cfg.param_scheduler.power, cfg.param_scheduler.end, cfg.train_cfg.max_epochs) == (0.9, 50, 50)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert cfg.model.data_preprocessor.tokenizer == dict(pretrained='bert-base-uncased', max_tokens=20)
    assert cfg.model.mask == dict(threshold=0.5, of='scores', resize='bicubic', align_corners=True)
    assert cfg.val_dataloader.dataset.score_at == cfg.test_dataloader.dataset.score_at == 'photo'
    stuck = 'intended' not in config
    assert (not cfg.model.decoder.learned_temperature) == cfg.model.get('squash_hits', True) == stuck


@pytest.mark.parametrize(
    'config',
    [
        'cgformer_swin-base_refcoco_intended.py',
        'cgformer_tiny_refshapes.py',
        'cgformer_tiny_refshapes_mgfe-dw_combine-loss.py',
    ],
)
def test_configs_build_and_train(project, config):
    """Two steps move all that is trained, where it can be; and a prediction has the photo's size."""
    torch.manual_seed(0)
    cfg = load_config(project / config, options_of(config), from_scratch=True)
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = batch_of(input_size(cfg))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(2):  # the first one moves what the zeros at the start of residual blocks hide from the loss
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        second = 'loss_focal' if 'combine' in config else 'loss_cross_entropy'
        assert losses.keys() == {*(f'loss_hit{i}' for i in (1, 2, 3)), 'loss_dice', second}
        wrapper.update_params(sum(losses.values()))
    assert all(before[f'decoder.group.{i}.tau'] == ('tiny' in config) for i in (0, 1))
    gradients = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.ne(0).any()}
    still = {'decoder.group.0.tau', 'decoder.group.1.tau'} if 'tiny' in config else set()
    for name, parameter in model.named_parameters():
        if name in still or not parameter.requires_grad:
            assert name not in gradients, name
        else:
            assert not torch.equal(parameter, before[name]), name
    for sample in batch['data_samples']:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)
    assert tested[0].mask_rule.resize == 'bicubic'


@pytest.mark.parametrize('config', [name for name in CONFIGS if 'mgfe-dw_combine-loss' in name])
def test_the_papers_parts_are_in_their_configs(project, config):
    """MGFE and DW after each stage, V + F for the decoder, CombineLoss on the mask; the rest is CGFormer's."""
    cfg = load_config(project / config, options_of(config), from_scratch=True)
    model = build_model(cfg)
    plain = build_model(
        load_config(project / config.replace('_mgfe-dw_combine-loss', ''), options_of(config), from_scratch=True)
    )
    assert [type(part) for part in model.neck.refine] == [MGFE] * 4
    assert [type(part) for part in model.neck.weigh] == [DynamicWeight] * 4
    assert [part.pool_size for part in model.neck.refine] == [8, 4, 2, 1]
    assert model.neck.decoder_reads == 'V+F' and type(model.loss_function) is CombineLoss
    assert (model.loss_function.dice_weight, model.loss_function.focal_weight) == (1, 3)
    ours, theirs = ({name for name, _ in m.named_parameters()} for m in (model, plain))
    assert all(name.startswith(('neck.refine.', 'neck.weigh.')) for name in ours ^ theirs)


@pytest.fixture
def tiny(project):
    torch.manual_seed(0)
    return build_model(load_config(project / 'cgformer_tiny_refshapes.py')).eval()


def words_of(model, *sentences: str) -> tuple[Tensor, Tensor]:
    return model.data_preprocessor.tokenizer(sentences)


def test_noise_comes_in_training_alone_or_always(project, tiny):
    """Two tests of one model agree, unless they are made as the official code makes them."""
    photo, words = torch.randn(1, 3, 64, 64), words_of(tiny, 'red ring')
    with torch.no_grad():
        assert torch.equal(tiny.segment(photo, *words), tiny.segment(photo, *words))
        for group in tiny.decoder.group:
            group.noise = 'always'
        assert not torch.equal(tiny.segment(photo, *words), tiny.segment(photo, *words))


def test_noise_is_of_gumbels_distribution(project):
    import cgformer_decoder

    torch.manual_seed(0)
    drawn = cgformer_decoder.gumbel_noise(torch.zeros(100_000, dtype=torch.float64))
    for x in (-1.0, 0.0, 2.0):  # the share below x is exp(-exp(-x))
        assert (drawn < x).double().mean().item() == pytest.approx(np.exp(-np.exp(-x)), abs=0.006)


def test_sentences_about_one_photo(tiny):
    """Give the same as each with a photo of its own."""
    photo, words = torch.randn(1, 3, 64, 64), words_of(tiny, 'red ring', 'the blue ball on the left')
    with torch.no_grad():
        alone, whole = tiny.segment(photo, *words), tiny.segment(photo.expand(2, -1, -1, -1), *words)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)


def test_each_pixel_has_one_of_three_tokens(project):
    """The loss is of the token that is named, the mask of the last one."""
    options = {'model.decoder.tokens': 3}
    torch.manual_seed(0)
    model = build_model(load_config(project / 'cgformer_tiny_refshapes.py', options)).eval()
    photo, words, target = torch.randn(2, 3, 64, 64), words_of(model, 'red ring', 'a dog'), torch.ones(2, 64, 64)
    with torch.no_grad():
        for hit in model.segment_with_hits(photo, *words)[1]:
            torch.testing.assert_close(hit, hit.round(), rtol=0, atol=1e-6)
            torch.testing.assert_close(hit.sum(1), torch.ones_like(hit[:, 0]))
        losses = []
        for model.hit_token in range(3):
            logits, own = model.segment_with_losses(photo, *words, target)
            losses.append(own['loss_hit3'].item())
            assert torch.equal(logits, model.segment(photo, *words))
    assert len(set(losses)) == 3


def test_ignored_pixels_count_nowhere(project):
    """Neither in the dice nor in the cross entropy, whatever is said of them."""
    import cgformer_losses

    target = torch.randint(0, 2, (2, 8, 8))
    target[:, :3] = 255
    logits = torch.randn(2, 1, 8, 8)
    other = torch.where(target[:, None] == 255, -logits, logits)
    first, second = (cgformer_losses.DiceCrossEntropy()(x, target) for x in (logits, other))
    cut = cgformer_losses.DiceCrossEntropy()(logits[:, :, 3:], target[:, 3:])
    for name, value in first.items():
        assert value.item() == pytest.approx(second[name].item()) == pytest.approx(cut[name].item()), name


@pytest.mark.parametrize(
    'wrong, message',
    [
        ({'decoder.noise': 'never'}, "noise must be 'training' or 'always'; got 'never'"),
        ({'hit_weights': (1.0, 1.0)}, r'hit_weights: expected three, of strides 16, 8, 4; got \(1.0, 1.0\)'),
        ({'hit_token': 2}, 'hit_token: expected one of 2 tokens; got 2'),
        ({'decoder.pixels': (16, 64)}, r'decoder.pixels: expected three, of strides 16, 8, 4; got \(16, 64\)'),
        ({'neck.channels': (8, 16, 32, 64)}, r'\[16, 32, 64, 128\] channels wide, neck.channels \[8, 16, 32, 64\]'),
    ],
)
def test_parts_that_do_not_fit_are_refused(project, wrong, message):
    options = {f'model.{key}': value for key, value in wrong.items()}
    with pytest.raises(ValueError, match=message):
        build_model(load_config(project / 'cgformer_tiny_refshapes.py', options))


def test_photos_without_a_table_of_positions_are_refused(tiny):
    with pytest.raises(ValueError, match=r'stride 16 has 5 x 4 pixels, its table of positions is of 16: set decoder.p'):
        tiny.segment(torch.zeros(1, 3, 80, 64), *words_of(tiny, 'red ring'))


def test_names_of_other_models_are_refused(project):
    import cgformer_checkpoints

    official = small_swin(project)
    mark = official.to_official(official.state_dict())['model_state_dict']
    with pytest.raises(ValueError, match='no names of CGFormer'):
        cgformer_checkpoints.from_cgformer({'backbone.patch_embed.proj.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: decoder\.x\.weight'):
        cgformer_checkpoints.from_cgformer({**mark, 'decoder.x.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: backbone\.y'):
        cgformer_checkpoints.from_cgformer({**mark, 'backbone.y': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: projector\.z'):
        cgformer_checkpoints.to_cgformer({'projector.z': torch.zeros(1)})


def small_swin(project):
    """Of the shape of the official one, for photos of 64 pixels."""
    scale = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    options = {**SMALL, **scale, 'model.decoder.pixels': (16, 64, 256)}
    torch.manual_seed(0)
    return build_model(load_config(project / 'cgformer_swin-base_refcoco.py', options, from_scratch=True)).eval()


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch):
    """Which the inferencer opens, with the model's own rule of masks; and the way back is bit by bit."""
    model, file = small_swin(project), tmp_path / 'best_model.pth'
    official = model.to_official({name: value.clone() for name, value in model.state_dict().items()})
    torch.save({'epoch': 3, **official}, file)
    ours = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.data.zero_()
    save_converted(model, convert_checkpoint(file, model.from_official), file, tmp_path / 'cgformer')
    inferencer = RISInferencer(tmp_path / 'cgformer')
    for name, value in inferencer.model.state_dict().items():
        assert torch.equal(value, ours[name]), name
    result = inferencer(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), 'the red ring')
    assert inferencer.model.mask_rule == model.mask_rule
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.5)
    back, official = (
        part['model_state_dict'] for part in (official_again(monkeypatch, tmp_path / 'cgformer'), official)
    )
    assert back.keys() == official.keys()
    assert all(torch.equal(value, official[name]) for name, value in back.items())


@slow('half a minute for each')
@pytest.mark.parametrize('kind', ['tiny', 'swin'])
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path, kind, tiny):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    model = tiny if kind == 'tiny' else small_swin(project)
    assert export_onnx(model, tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
