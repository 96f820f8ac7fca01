"""EFN against numbers recorded from its official code."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from records import ROOT, batch_of, norm_of, project_of, record_of
from scipy.ndimage import distance_transform_edt
from slow import slow
from torch import Tensor, nn

from mgfe_ris.apis import (
    RISInferencer,
    build_model,
    export_onnx,
    input_pipeline,
    input_size,
    load_config,
    save_converted,
)
from mgfe_ris.checkpoint_files import convert_checkpoint
from mgfe_ris.evaluation import ScoringProtocol
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.structures import SegDataSample

record = record_of('efn')
project = project_of('efn')
CONFIGS = sorted(path.name for path in (ROOT / 'projects/efn').glob('efn_*_*.py'))
SMALL = {
    'model.text_encoder.vocabulary_size': 500,
    'model.text_encoder.channels': 16,
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.channels': (8, 16, 32, 64, 64),
    'model.decoder.channels': 4,
}
"""Options that leave of a full config what a test has time for."""
TERMS = dict(M='mask', B='body', E='edge')
"""What the record calls the kinds of losses, and we."""


def model_of(sizes: dict, **settings) -> nn.Module:
    """Of a record's sizes."""
    import efn
    import efn_encoder
    import efn_text

    init_default_scope('mmseg')
    u = sizes['unit']
    return MODELS.build(
        dict(
            type=efn.EFN,
            data_preprocessor=dict(type='BaseDataPreprocessor'),
            text_encoder=dict(type=efn_text.EFNTextEncoder, vocabulary_size=sizes['vocab'], channels=16 * u),
            encoder=dict(
                type=efn_encoder.WideResNet,
                depths=sizes['blocks'],
                channels=(2 * u, 8 * u, 16 * u, 32 * u, sizes['c5']),
            ),
            decoder=dict(channels=u),
            loss=dict(type='BinaryCrossEntropy'),
            **settings,
        )
    )


@pytest.fixture
def model(record, project):
    """Of the record's sizes and weights, in float64."""
    import efn

    state, model = efn.from_efn(record['state_dict']), model_of(record['config'])
    assert not differences(state, model.state_dict())
    model.load_state_dict(state)
    return model.double().eval()


def arguments(inputs: dict) -> tuple[Tensor, Tensor, Tensor]:
    return inputs['image'], inputs['text'], inputs['text'] != 0


def _keep(module: nn.Module, seen: dict, name: str, layout: Callable = lambda inputs, out: out) -> None:
    module.register_forward_hook(lambda module, inputs, out: seen.__setitem__(name, layout(inputs, out)))


def test_recorded_features(record, model):
    """Whatever was recorded of words, stages, their fusions, and the decoder."""
    seen: dict[str, Tensor] = {}
    whole = {'textmodel.embedding': 'text_encoder.table', 'mapping_lang': 'words', 'mapping_hT': 'sentence'}
    whole |= {f'scale{i + 1}': f'encoder.layer{i}' for i in range(1, 5)} | {'output5': 'decoder.first'}
    whole |= {f'reduced_c{i + 1}': f'decoder.reduce.{i}' for i in range(5)}
    for number in (3, 4, 5):
        parts = enumerate(('see', 'join', 'merge'), start=1)
        whole |= {f'lang_c{number}_{i}': f'fuse.{number}.{part}' for i, part in parts}
        whole[f'c{number}_lang'] = f'fuse.{number}.words'
        attention = model.get_submodule(f'fuse.{number}.attention')
        _keep(attention, seen, f'wordvisual{number}', lambda inputs, out: inputs[1])
        _keep(attention, seen, f'attention{number}', lambda inputs, out: out[0])
    for i in range(4):
        whole[f'edge_fusion{5 - i}'], whole[f'output{4 - i}'] = f'decoder.draw.{i}', f'decoder.out.{i}'
        whole[f'squeeze_body_edge{5 - i}.fc_loc'] = f'decoder.split.{i}.move'
        _keep(model.decoder.split[i], seen, f'squeeze_body_edge{5 - i}', lambda inputs, out: out[0])
    for name, ours in whole.items():
        _keep(model.get_submodule(ours), seen, name)
    with torch.no_grad():
        model.segment(*arguments(record['inputs']))
    longest_first = record['inputs']['text'].ne(0).sum(1).sort(descending=True).indices
    seen['textmodel.embedding'] = seen['textmodel.embedding'][longest_first]  # the order in which they are packed
    assert record['features'].keys() <= seen.keys()
    for name, expected in record['features'].items():
        torch.testing.assert_close(seen[name], expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def test_recorded_logits_and_masks(record, model):
    """Masks by the official rule, which counts whatever a mask of the input's size touches."""
    image = record['inputs']['image']
    with torch.no_grad():
        logits = model.segment(*arguments(record['inputs']))
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)
    for logit, expected in zip(logits, record['masks'], strict=True):
        size, tested = tuple(expected.shape), torch.zeros(1, *expected.shape)
        sample = dict(ori_shape=size, img_shape=tuple(image.shape[-2:]))
        sample |= dict(seg_logits=dict(data=logit), gt_sem_seg=dict(data=tested))
        assert torch.equal(ScoringProtocol(grown=True).masks(sample, tested)[0][0], expected)


def test_recorded_training(record, model, project):
    """Three steps by the config's recipe: groups, rates, what training sees at all sizes, each term, gradients."""
    told, truth = record['training'], record['training']['target'][:, 0]
    wrapper = load_config(project / 'efn_wrn101_refcoco.py').optim_wrapper
    wrapper.optimizer.lr *= told['lrs'][0][0] / 5e-4  # of a batch of 8; the record is of another one
    wrapper = build_optim_wrapper(model, wrapper)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=one[None].long())) for one in truth]
    model.train()
    for step, expected in enumerate(told['losses']):
        if step == 0:
            kept = {name: value.clone() for name, value in model.state_dict().items()}
            _check_sides(model, arguments(told['inputs']), told['outputs'])
            model.load_state_dict(kept)  # the batch norms' means
        losses = model(*arguments(told['inputs']), samples, mode='loss')
        losses['loss_mask1'] = losses.pop('loss_mask')
        terms = {name: losses[f'loss_{TERMS[name[0]]}{name[1:]}'].item() for name in told['terms'][step]}
        assert len(terms) == len(losses) == 12 and terms == pytest.approx(told['terms'][step], abs=1e-9)
        loss = sum(losses.values())
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        wrapper.zero_grad()
        loss.backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        norm = norm_of(gradients.values())
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        assert {group['lr'] for group in wrapper.param_groups} == set(told['lrs'][step])
        wrapper.step()
    norms = norm_of(model.parameters())
    assert norms == pytest.approx(told['param_norm_after'], rel=1e-9)
    assert len(list(model.parameters())) - len(gradients) == len(told['without_gradient'])


def _check_sides(model: nn.Module, inputs: tuple[Tensor, Tensor, Tensor], told: dict[str, Tensor]) -> None:
    from efn_decoder import stretch

    with torch.no_grad():
        steps = model.steps(*inputs)
        found = model.decoder.sides(steps) | {'mask1': steps[-1].out}
    assert {f'{TERMS[name[0]]}{name[1:]}' for name in told} == found.keys()
    for name, expected in told.items():
        side = stretch(found[f'{TERMS[name[0]]}{name[1:]}'], inputs[0].shape[-2:])[..., ::4, ::4]
        side = side.sigmoid() if name[0] == 'E' else side
        torch.testing.assert_close(side, expected, rtol=0, atol=1e-10, msg=lambda m, name=name: f'{name}: {m}')


def test_recorded_groups_are_those_of_the_config(record, model, project):
    """One rate and one decay for all; each parameter is in the group."""
    import efn

    (told,) = record['training']['groups']
    official = efn.to_efn(dict(model.named_parameters()))
    assert official.keys() == set(told['names'])
    (group,) = build_optim_wrapper(model, load_config(project / 'efn_wrn101_refcoco.py').optim_wrapper).param_groups
    assert {id(p) for p in group['params']} == {id(p) for p in official.values()}
    assert group['lr'] == pytest.approx(5e-4)
    for name in ('momentum', 'dampening', 'weight_decay', 'nesterov', 'maximize'):
        assert group[name] == told[name], name


def test_recorded_edges(record, project):
    """The truth of edges is the official one, of labels and of shares of pixels."""
    from efn_edges import edge_map

    target, expected = record['training']['target'].unbind(1)
    assert torch.equal(edge_map(target.long()), expected.long())
    assert torch.equal(edge_map(target), expected)


def test_recorded_weights_come_back_bit_by_bit(record, project):
    import efn

    state = record['state_dict']
    back = efn.to_efn(efn.from_efn({f'module.{k}': v for k, v in state.items()}))
    assert back.keys() == state.keys()
    for name, value in back.items():
        assert value.dtype == state[name].dtype and torch.equal(value, state[name]), name


def test_edges_are_within_a_distance_of_the_other_class(project):
    """Euclidean, the photo's border included; an ignored pixel is outside, and stays ignored."""
    from efn_edges import edge_map

    target = torch.zeros(3, 12, 17, dtype=torch.long)
    target[0, 4:9, 5:], target[1] = 1, torch.rand(12, 17) < 0.1
    expected = []
    for mask in target.bool().numpy():
        mask = np.pad(mask, 1)
        distance = distance_transform_edt(mask) + (distance_transform_edt(~mask) if mask.any() else 99 * ~mask)
        expected.append(distance[1:-1, 1:-1] <= 2)
    assert np.array_equal(edge_map(target).numpy(), np.stack(expected))
    target[0, 8] = 255
    found, as_outside = edge_map(target), edge_map(target.where(target != 255, 0))
    assert (found[0, 8] == 255).all()
    assert torch.equal(found.where(target != 255, 0), as_outside.where(target != 255, 0))


@pytest.mark.parametrize('transposed', [True, False])
def test_weights_of_the_co_attention(project, transposed):
    """In the intended form they add up to 1: what is 1 everywhere, and not looked at, stays so."""
    from efn_fusion import CoAttention

    torch.manual_seed(0)
    attention = CoAttention(6, transposed)
    attention.photo, attention.language = nn.Identity(), nn.Identity()
    for conv in (attention.of_photo, attention.of_language):
        nn.init.normal_(conv.weight)
        conv.weight.data[:, 5] = 0
    photo, language = torch.randn(2, 2, 6, 3, 4).unbind()
    photo[:, 5], language[:, 5] = 1, 1
    with torch.no_grad():
        sums = [found[:, 5] for found in attention(photo, language)]
    assert [torch.allclose(one, torch.ones(2, 3, 4)) for one in sums] == [not transposed] * 2
    # all that is seen and read is given to somebody all the same
    assert all(one.mean() == pytest.approx(1, abs=1e-5) for one in sums)


def test_where_a_pixel_is(project):
    """As meant: from -1 to 1; as the official code has it: rows divided by the width, so not on a map that is wide."""
    from efn_fusion import places

    meant, official = (places(3, 6, torch.device('cpu'), torch.float64, swapped)[0] for swapped in (False, True))
    x, y = (torch.arange(n) for n in (6, 3))
    assert torch.allclose(meant[:2, -1, -1], torch.tensor([1 - 2 / 6, 1 - 2 / 3], dtype=torch.float64))
    assert torch.allclose(meant[2:4, -1, -1], torch.ones(2, dtype=torch.float64))
    assert torch.allclose(meant[4:, 0, 0], torch.tensor([-1 + 1 / 6, -1 + 1 / 3, 1 / 6, 1 / 3], dtype=torch.float64))
    assert torch.allclose(official[0], (2 * y / 6 - 1)[:, None].double()) and official[0].max() < 0
    assert torch.allclose(official[1], (2 * x / 3 - 1)[None].double()) and official[1].max() > 2
    assert official[6:, 0, 0].tolist() == [1 / 3, 1 / 6]


def test_a_full_model_has_the_official_size(project):
    """Millions of parameters, billions of multiply-accumulates of 320 x 320 pixels and 6 words as ``thop`` counts."""
    with shapes_only():
        model = build_model(load_config(project / 'efn_wrn101_refcoco.py', from_scratch=True)).eval()
    count = {name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in model.named_children()}
    assert sum(count.values()) == pytest.approx(232.78, abs=5e-3)
    assert count['encoder'] == pytest.approx(124.84, abs=5e-3)
    macs: dict[nn.Module, float] = {}
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.PReLU)):
            each = module.weight[0].numel() if isinstance(module, (nn.Conv2d, nn.Linear)) else 4
            each = 1 if isinstance(module, nn.PReLU) else each
            hook = lambda module, inputs, out, each=each: macs.__setitem__(module, out.numel() * each / 1e9)  # noqa: E731
            module.register_forward_hook(hook)
    photo, ids = torch.zeros(1, 3, 320, 320, device='meta'), torch.zeros(1, 6, dtype=torch.long, device='meta')
    with torch.no_grad():
        model.segment(photo, ids, ids == 0)
    again = sum(macs.get(module, 0.0) for module in model.decoder.out[3].modules())
    # the official code computes the last step twice, for nothing
    assert sum(macs.values()) + again == pytest.approx(121.5, abs=0.05)


@pytest.mark.parametrize('config', [name for name in CONFIGS if 'tiny' not in name])
def test_a_config_is_the_official_recipe(project, config):
    """8 photos, SGD, 200,000 steps, a tenth of the rate after 60 percent; photos are stretched, masks grow."""
    cfg = load_config(project / config)
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 8
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=5e-4, momentum=0.9, weight_decay=5e-4)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert (cfg.train_cfg.max_iters, cfg.param_scheduler.milestones, cfg.param_scheduler.gamma) == (
        200_000,
        [120_000],
        0.1,
    )
    assert input_size(cfg) == (320, 320)
    resize = input_pipeline(cfg)[0].transforms[1]
    assert (resize.type, resize.interpolation) == ('Resize', 'area')
    assert resize == next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'Resize')
    tokenizer = cfg.model.data_preprocessor.tokenizer
    assert tokenizer == dict(pretrained='data/vocabulary_Gref.txt', max_tokens=20, trim=True)
    assert cfg.test_evaluator.protocols.own == dict(grown=True)
    assert cfg.val_dataloader.dataset.score_at == cfg.test_dataloader.dataset.score_at == 'photo'
    names = {'refcoco': ('refcoco', 'unc'), 'refcoco+': ('refcoco+', 'unc')}
    names |= {f'gref-{by}': ('refcocog', by) for by in ('umd', 'google')}
    data = cfg.train_dataloader.dataset
    assert (data.ann_folder, data.split_by) == names[config.removesuffix('.py').split('_')[2]]
    as_meant = 'intended' in config
    assert cfg.model.data_preprocessor.bgr_to_rgb == as_meant
    assert cfg.model.transposed_attention == cfg.model.swapped_sides == (not as_meant)


@pytest.mark.parametrize('config', ['efn_wrn101_refcoco_intended.py', 'efn_tiny_refshapes.py'])
def test_configs_build_and_train(project, config):
    """Two steps move all that can move; and a prediction has the photo's size."""
    torch.manual_seed(0)
    options = {} if 'tiny' in config else {**SMALL, 'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    cfg = load_config(project / config, options, from_scratch=True)
    model = build_model(cfg).train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    batch = batch_of(input_size(cfg))
    before = {name: p.clone() for name, p in model.named_parameters()}
    for _ in range(2):  # at the start, there is no edge, so that what draws edges has no gradient
        losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
        assert len(losses) == 12
        wrapper.zero_grad()
        sum(losses.values()).backward()
        wrapper.step()
    # the first step backwards begins with a state of zeros
    still = {name for name, p in model.named_parameters() if not p.grad.any()}
    assert still == {'text_encoder.backwards.weight_hh'}
    assert not [name for name, p in model.named_parameters() if torch.equal(p, before[name]) and name not in still]
    for sample in batch['data_samples']:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)


@pytest.fixture
def tiny(project):
    torch.manual_seed(0)
    return build_model(load_config(project / 'efn_tiny_refshapes.py')).eval()


def test_sentences_about_one_photo(tiny):
    """Give the same as each with a photo of its own; and padding changes nothing."""
    photo = torch.randint(0, 256, (1, 3, 64, 64)).float()
    ids, mask = tiny.data_preprocessor.tokenizer(['red ring', 'the blue ball on the left'])
    padded = [nn.functional.pad(tensor, (0, 3)) for tensor in (ids, mask)]
    with torch.no_grad():
        alone, whole = tiny.segment(photo, ids, mask), tiny.segment(photo.expand(2, -1, -1, -1), ids, mask)
        torch.testing.assert_close(alone, whole, rtol=0, atol=1e-5)
        torch.testing.assert_close(tiny.segment(photo, *padded), alone, rtol=0, atol=1e-5)
        assert not torch.allclose(alone[0], alone[1], rtol=0, atol=3e-5)


def test_ignored_pixels_count_nowhere(tiny):
    """In none of the twelve losses."""
    photo, target = torch.randint(0, 256, (2, 3, 64, 64)).float(), torch.ones(2, 64, 64)
    words = tiny.data_preprocessor.tokenizer(['red ring', 'a dog'])
    with torch.no_grad():
        target[:] = 255
        logits, own = tiny.segment_with_losses(photo, *words, target)
        assert not any((own | tiny.loss(logits, target)).values())
        target[:, :5] = 1
        assert all((own := tiny.segment_with_losses(photo, *words, target)[1]).values()) and len(own) == 11


def test_parts_that_do_not_fit_are_refused(project):
    def refused(**wrong) -> None:
        build_model(load_config(project / 'efn_tiny_refshapes.py', {f'model.{key}': v for key, v in wrong.items()}))

    with pytest.raises(
        ValueError, match=r'has ids up to 419, .* has 100 entries: set text_encoder.vocabulary_size=420'
    ):
        refused(**{'text_encoder.vocabulary_size': 100})
    with pytest.raises(ValueError, match=r'max_tokens=25, but EFNTextEncoder .* raise text_encoder\.max_tokens'):
        refused(**{'data_preprocessor.tokenizer.max_tokens': 25})
    with pytest.raises(ValueError, match='expected depths of 4 stages and channels of 5 maps'):
        refused(**{'encoder.depths': (1, 1, 1)})


def test_names_of_other_models_are_refused(project):
    import efn_checkpoints

    with pytest.raises(ValueError, match='no names of EFN'):
        efn_checkpoints.from_efn({'scale1.0.weight': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: reduced_c7\.x'):
        efn_checkpoints.from_efn(
            {'squeeze_body_edge5.flow_make.weight': torch.zeros(1), 'reduced_c7.x': torch.zeros(1)}
        )
    with pytest.raises(ValueError, match=r'nothing here explains: decoder\.z'):
        efn_checkpoints.to_efn({'decoder.z': torch.zeros(1)})


def small_of_words(project, tmp_path):
    """Of the shape of the official one, with a list of words."""
    words = tmp_path / 'words.txt'
    words.write_text('\n'.join(['<pad>', '<unk>', 'the', 'red', 'ring']), encoding='utf-8')
    scale = {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)}
    options = {**SMALL, **scale, 'model.encoder.init_cfg': None}
    options['model.data_preprocessor.tokenizer.pretrained'] = str(words)
    torch.manual_seed(0)
    return build_model(load_config(project / 'efn_wrn101_refcoco.py', options)).eval()


def test_an_official_file_becomes_a_folder(project, tmp_path):
    """Which the inferencer opens, with its list of words."""
    model, file = small_of_words(project, tmp_path), tmp_path / 'best_model.pth'
    torch.save(model.to_official(model.state_dict()), file)
    ours = {name: value.clone() for name, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.data.zero_()
    save_converted(model, convert_checkpoint(file, model.from_official), file, tmp_path / 'efn')
    inferencer = RISInferencer(tmp_path / 'efn')
    for name, value in inferencer.model.state_dict().items():
        assert torch.equal(value, ours[name]), name
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, other = inferencer(photo, 'The red ring.'), inferencer(photo, 'a blue ball')
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.5)
    assert result.understood and not other.understood


@slow('half a minute for each')
@pytest.mark.parametrize('kind', ['tiny', 'words'])
def test_a_graph_of_onnx_gives_the_same_mask(project, tmp_path, kind, tiny):
    """For batches of several sizes, which are compared when it is written, and at the photo's size."""
    model = tiny if kind == 'tiny' else small_of_words(project, tmp_path)
    assert export_onnx(model, tmp_path / 'onnx') < 1e-4
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    result, same = (RISInferencer(source)(photo, 'the red ring') for source in (model, tmp_path / 'onnx'))
    assert result.mask.shape == same.mask.shape == (40, 60)
    np.testing.assert_allclose(same.score, result.score, atol=1e-4)
