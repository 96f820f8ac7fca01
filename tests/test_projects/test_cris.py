"""CRIS against numbers recorded from its official code."""

import json
import math
import os
import runpy
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import METRICS, MODELS, PARAM_SCHEDULERS
from records import ROOT, norm_of, project_of, record_of
from slow import slow

from mgfe_ris.apis import (
    RISInferencer,
    build_model,
    export_onnx,
    export_torch,
    input_size,
    load_config,
    load_model,
    save_folder,
    stage_features,
)
from mgfe_ris.evaluation import read_logits
from mgfe_ris.models.checkpoints import differences
from mgfe_ris.models.losses import BinaryCrossEntropy
from mgfe_ris.models.shapes_only import shapes_only
from mgfe_ris.profiling import count_complexity
from mgfe_ris.profiling.flops import count_by_operator
from mgfe_ris.structures import MaskRule, SegDataSample, mask_of, scores_and_mask

record = record_of('cris')
project = project_of('cris')
BOX = ((1.0, 0.0, 0.0), (0.0, 1.0, 12.0))
SMALL = {
    'model.encoder.depths': (1, 1, 1, 1),
    'model.encoder.base_channels': 16,
    'model.encoder.attention_pool': dict(out_channels=32),
    'model.text_encoder.width': 64,
    'model.text_encoder.depth': 1,
    'model.text_encoder.sentence_channels': 32,
    'model.text_encoder.vocabulary_size': 512,
    'model.neck_channels': (32, 64, 64),
    'model.decoder': dict(layers=1, heads=2, hidden=32),
}
"""Options that leave of a full config what a test has time for."""
RULE = dict(threshold=0.35, of='scores', resize='bicubic', align_corners=True)


@pytest.fixture
def model(record, monkeypatch):
    """Of the record's sizes and weights, in float64."""
    monkeypatch.syspath_prepend(ROOT / 'projects/cris')
    import cris
    import cris_checkpoints

    init_default_scope('mmseg')
    sizes = record['config']
    deepest = 32 * sizes['vision_width']
    pool = dict(
        out_channels=sizes['embed_dim'],
        grid=sizes['clip_resolution'] // 32,
        head_channels=deepest // (deepest // 64),
    )
    model = MODELS.build(
        dict(
            type=cris.CRIS,
            data_preprocessor=dict(type='ReferringDataPreProcessor', mean=(0,) * 3, std=(1,) * 3),
            encoder=dict(
                type='CLIPResNetEncoder',
                depths=sizes['vision_layers'],
                base_channels=sizes['vision_width'],
                attention_pool=pool,
                norm_outs=False,
            ),
            text_encoder=dict(
                type='CLIPTextTower',
                width=sizes['text_width'],
                depth=sizes['text_layers'],
                sentence_channels=sizes['embed_dim'],
                max_tokens=sizes['context_length'],
                vocabulary_size=sizes['vocab_size'],
                head_channels=sizes['text_width'] // (sizes.get('text_heads') or sizes['text_width'] // 64),
            ),
            neck_channels=sizes['fpn_out'],
            decoder=dict(layers=sizes['num_layers'], heads=sizes['num_head'], hidden=sizes['dim_ffn'], dropout=0.0),
            loss=dict(type='BinaryCrossEntropy'),
            mask=RULE,
        )
    )
    state = cris_checkpoints.from_cris({f'module.{k}': v for k, v in record['state_dict'].items()})
    assert not differences(state, model.state_dict(), may_lack='data_preprocessor')
    model.load_state_dict(state, strict=False)
    return model.double().eval()


def test_recorded_logits(record, model, tables):
    inputs = record['inputs']
    with torch.no_grad():
        logits = model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-10)


def test_recorded_logits_with_tables_of_this_machine(record, model):
    inputs = record['inputs']
    with torch.no_grad():
        logits = model.segment(inputs['image'], inputs['ids'], ~inputs['pad_mask'])
        alone = model.segment(inputs['image'][:1], inputs['ids'], ~inputs['pad_mask'])
        whole = model.segment(inputs['image'][:1].expand_as(inputs['image']), inputs['ids'], ~inputs['pad_mask'])
    torch.testing.assert_close(logits, record['logits'], rtol=0, atol=1e-6)
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-9, msg='sentences about one photo')


def test_recorded_masks(record, model, tables):
    """By CRIS's own protocol, at the photos' sizes; a pixel at the threshold may differ by the warp's rounding."""
    known = record['evaluation']
    side = record['config']['image_size']
    for i, size in enumerate(known['photo_sizes']):
        place = dict(mask_rule=MaskRule(**RULE), img_shape=tuple(side), to_input=known['to_input'][i].tolist())
        scores, mask = scores_and_mask(record['logits'][i], size, SegDataSample(metainfo=place))
        torch.testing.assert_close(scores.double(), known['prob_photo'][i].double(), rtol=0, atol=2e-5)
        assert (mask != record['masks'][i]).sum() <= 1


def test_recorded_scores(record, project):
    """IoU of each sentence, their mean and Pr@X, from the recorded logits, through the metric of the config."""
    known, side = record['evaluation'], tuple(record['config']['image_size'])
    metric = METRICS.build(load_config(project / 'cris_rn50_refcoco.py', from_scratch=True).test_evaluator)
    for i, size in enumerate(map(tuple, known['photo_sizes'])):
        place = dict(to_input=known['to_input'][i].tolist(), img_shape=side, ori_shape=size, mask_rule=MaskRule(**RULE))
        sample = SegDataSample(metainfo=place)
        sample.gt_sem_seg = PixelData(data=known['truth'][i][None].long())
        sample.seg_logits = PixelData(data=record['logits'][i])
        sample.pred_sem_seg = PixelData(data=mask_of(record['logits'][i], size, sample)[None].long())
        metric.process({}, [sample.to_dict()])
        own = metric.results[-1]['protocols']['own']
        # a pixel at the threshold may differ by the warp's rounding
        assert own['intersection'] / (own['union'] + 1e-6) == pytest.approx(
            known['ious'][i].item(), abs=2 / max(own['union'], 1)
        )
    found = metric.compute_metrics(metric.results)
    assert found['own/mIoU'] == pytest.approx(100 * known['miou'], abs=0.1)
    for name, value in known['precision'].items():
        assert found[f'own/P@0.{name.removeprefix("Pr@")[0]}'] == pytest.approx(100 * value, abs=1e-4)
    assert {'oIoU', 'common_photo/oIoU', 'common_480/oIoU'} < set(found)


@pytest.fixture
def training(record, model, project):
    """Optimizer and schedulers of the official config, for the recorded model, in epochs of a step."""
    cfg = load_config(project / 'cris_rn50_refcoco.py', from_scratch=True)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    cfg.param_scheduler[1].milestones = [2]  # as the record has it, in the place of 35
    settings = ({**scheduler, 'optimizer': wrapper.optimizer} for scheduler in cfg.param_scheduler)
    return wrapper, [PARAM_SCHEDULERS.build(one) for one in settings]


def test_recorded_training(record, model, tables, training):
    """Three epochs of a step: losses, rates of both groups, norms of gradients, and the logits after them."""
    told, (wrapper, schedulers) = record['training'], training
    names, loss_function = dict(model.named_parameters()), BinaryCrossEntropy()
    image, ids = told['inputs']['image'], told['inputs']['ids']
    for step, expected in enumerate(told['losses']):
        model.train()
        loss = loss_function(model.segment(image, ids, ids != 0), told['target'][:, 0])
        assert loss.item() == pytest.approx(expected, abs=1e-9)
        wrapper.zero_grad()
        loss.backward()
        norm = norm_of(p.grad for p in names.values())
        assert norm == pytest.approx(told['grad_norms'][step], rel=1e-8)
        for group in wrapper.optimizer.param_groups:
            assert group['lr'] == pytest.approx(told['lrs'][step][not _is_tower(_name_of(names, group))], rel=1e-12)
        wrapper.step()
        for scheduler in schedulers:
            scheduler.step()
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model.segment(image, ids, ids != 0), told['logits_after'], rtol=0, atol=1e-8)


def _name_of(names: dict, group: dict) -> str:
    return next(name for name, p in names.items() if p is group['params'][0])


def test_recorded_rates_of_the_config(record, model, training):
    """Which weights are in which group, by their official names; ``logit_scale`` is not ours."""
    import cris_checkpoints

    told, (wrapper, _) = record['training'], training
    official = cris_checkpoints.to_cris(dict(model.named_parameters()))['state_dict']
    names = {id(value): name.removeprefix('module.') for name, value in official.items()}
    for lr, expected in zip(told['param_groups_initial_lr'], told['param_groups'], strict=True):
        groups = [group for group in wrapper.optimizer.param_groups if group['initial_lr'] == pytest.approx(lr)]
        found = {names[id(p)] for group in groups for p in group['params']}
        assert found == {*expected} - {'backbone.logit_scale'}
        assert all(group['weight_decay'] == 0 for group in groups)


def test_recorded_weights_both_ways(record, project):
    """Bit for bit, with the names that the official code saves; but for ``logit_scale``, which gets CLIP's own."""
    import cris_checkpoints

    known = {f'module.{name}': value for name, value in record['state_dict'].items()}
    found = cris_checkpoints.to_cris(cris_checkpoints.from_cris(dict(state_dict=known)))
    assert list(found) == ['state_dict'] and found['state_dict'].keys() == known.keys()
    for name, value in found['state_dict'].items():
        if name.endswith('logit_scale'):
            assert value.shape == known[name].shape and value.exp().item() == pytest.approx(100)
        else:
            assert torch.equal(value, known[name]) and value.dtype == known[name].dtype, name


def _is_tower(name: str) -> bool:
    return name.startswith(('encoder.', 'text_encoder.')) and 'positional_embedding' not in name


@pytest.mark.parametrize('kind, count, macs', [('rn50', 146_849_122, 65.96), ('rn101', 161_251_682, 78.32)])
def test_a_full_model_has_the_official_size(project, kind, count, macs):
    """Parameters but for CLIP's ``logit_scale``, which nothing reads; billions of multiply-accumulates."""
    with shapes_only():
        model = build_model(load_config(project / f'cris_{kind}_refcoco.py', from_scratch=True)).eval()
    assert sum(p.numel() for p in model.parameters()) == count - 1
    photo = torch.zeros(1, 3, 416, 416, device='meta')
    ids = torch.zeros(1, 17, dtype=torch.long, device='meta')
    with torch.no_grad():
        flops = sum(count_by_operator(lambda: model.segment(photo, ids, ids == 0)).values())
    assert flops / 2e9 == pytest.approx(macs, abs=0.005)


@pytest.mark.parametrize(
    'config, first, val', [('rn50_refcoco', 1e-4, 'val'), ('rn50_refcoco_intended', 1e-5, 'val')]
    + [('rn101_gref-umd', 1e-4, 'val'), ('rn101_gref-umd_intended', 1e-5, 'val')]
    + [('rn101_refcoco+', 1e-4, 'testB'), ('rn101_refcoco+_intended', 1e-5, 'val')]
)  # fmt: skip
def test_recipes(project, config, first, val):
    """As the official code trains, and as it means to: CLIP's rate by epoch, and the split that chooses the epoch."""
    cfg = load_config(project / f'cris_{config}.py', from_scratch=True)
    weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.Adam([dict(params=weights[:1], lr=1e-5), dict(params=weights[1:], lr=1e-4)])
    schedulers = [PARAM_SCHEDULERS.build({**one, 'optimizer': optimizer}) for one in cfg.param_scheduler]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    expected = [[first, 1e-4], *[[1e-5, 1e-4]] * 34, *[[1e-6, 1e-5]] * 15]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)
    assert cfg.val_dataloader.dataset.split == val and cfg.val_dataloader.dataset.score_at == 'photo'


@pytest.mark.parametrize(
    'config', sorted(path.name for path in (ROOT / 'projects/cris').glob('cris_*_*.py') if 'intended' not in path.name)
)
def test_configs_build_and_train(project, config):
    """A step from the loss to every parameter, and a prediction at the photo's size."""
    cfg = load_config(project / config, {} if 'tiny' in config else dict(SMALL), from_scratch=True)
    model = build_model(cfg)
    size = input_size(cfg)
    samples = [
        SegDataSample(metainfo=dict(sentence=text, img_shape=size, to_input=BOX)) for text in ('red ring', 'dog')
    ]
    for sample in samples:
        sample.gt_share = PixelData(data=torch.rand(1, *size))
    batch = dict(inputs=torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8), data_samples=samples)
    losses = model(**model.data_preprocessor(batch, training=True), mode='loss')
    losses['loss'].backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, 40, 60, dtype=torch.int64))
    tested = model.eval().test_step(batch)
    assert all(sample.pred_sem_seg.data.shape == (1, 40, 60) for sample in tested)
    assert tested[0].mask_rule.threshold == 0.35


def test_towers_of_two_kinds_are_refused(project):
    cfg = load_config(project / 'cris_tiny_refshapes.py', {'model.text_encoder.sentence_channels': 128})
    with pytest.raises(ValueError, match='the encoder ends with 64 channels, the sentence has 128'):
        build_model(cfg)


def test_names_of_other_models_are_refused(project):
    import cris_checkpoints

    for name in ('neck.x', 'classifier.x'):
        with pytest.raises(ValueError, match='no CLIP in it'):
            cris_checkpoints.from_cris({name: torch.zeros(1)})
    clip = {'backbone.visual.conv1.weight': torch.zeros(1)}
    with pytest.raises(ValueError, match=r'nothing here explains: classifier\.x'):
        cris_checkpoints.from_cris({**clip, 'classifier.x': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: decode_head\.x'):
        cris_checkpoints.to_cris({'decode_head.x': torch.zeros(1)})
    with pytest.raises(ValueError, match=r'nothing here explains: out_norms\.0\.weight'):
        cris_checkpoints.to_cris({'encoder.out_norms.0.weight': torch.zeros(1)})


def test_an_official_file_becomes_a_folder(project, tmp_path, monkeypatch, capsys):
    """Which the inferencer opens, with the model's own threshold."""
    torch.manual_seed(0)
    config = project / 'cris_tiny_refshapes.py'
    model = build_model(load_config(config))
    torch.save({'epoch': 3, 'state_dict': official_names(model.state_dict())}, tmp_path / 'best_model.pth')
    run_tool = partial(run, monkeypatch, capsys)
    options = ('--config', config, '--out', tmp_path / 'cris')
    assert 'wrote' in run_tool('model_converters/official2mgfe.py', tmp_path / 'best_model.pth', *options)
    inferencer = RISInferencer(tmp_path / 'cris')
    for name, value in model.state_dict().items():
        assert torch.equal(value, inferencer.model.state_dict()[name]), name
    result = inferencer(np.full((40, 60, 3), 90, np.uint8), 'the red ring')
    assert inferencer.threshold == 0.35
    assert result.mask.shape == (40, 60) and np.array_equal(result.mask, result.score > 0.35)
    assert 'wrote' in run_tool('model_converters/mgfe2official.py', tmp_path / 'cris', tmp_path / 'back.pth')
    before, after = (torch.load(tmp_path / name, weights_only=True) for name in ('best_model.pth', 'back.pth'))
    assert before['state_dict'].keys() == after['state_dict'].keys()
    for name, value in before['state_dict'].items():
        assert torch.equal(value, after['state_dict'][name]) or name.endswith('logit_scale'), name


def run(monkeypatch, capsys, tool: str, *arguments: object) -> str:
    """A tool in this process -> what it prints."""
    monkeypatch.setattr('sys.argv', [tool, *map(str, arguments)])
    capsys.readouterr()
    runpy.run_path(str(ROOT / 'tools' / tool), run_name='__main__')
    return capsys.readouterr().out


def official_names(state: dict) -> dict:
    """Ours -> those of the official code, written down here once more."""
    named = {}
    for name, value in state.items():
        part, rest = name.split('.', 1)
        if part == 'encoder':
            rest = f'backbone.visual.{rest}'
        elif part == 'text_encoder':
            rest = 'backbone.' + rest.replace('blocks.', 'transformer.resblocks.')
            rest = rest.replace('.mlp.0.', '.mlp.c_fc.').replace('.mlp.2.', '.mlp.c_proj.')
        elif part == 'neck':
            rest = 'neck.' + rest.replace('coordconv.0.', 'coordconv.0.conv1.')
        elif part in ('decoder', 'projector'):
            rest = part.replace('projector', 'proj') + f'.{rest}'
        else:
            continue
        named[f'module.{rest}'] = value
    return {**named, 'module.backbone.logit_scale': torch.ones(())}


@pytest.fixture(scope='module')
def small(tmp_path_factory) -> Path:
    """A folder with a tiny model of random weights, whose masks are neither empty nor full."""
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
        patch.syspath_prepend(ROOT / 'projects/cris')
        torch.manual_seed(0)
        changes = {name: SMALL[name] for name in SMALL if 'vocabulary' not in name}
        changes['model.encoder.attention_pool'] = dict(out_channels=32, grid=2)
        model = build_model(load_config(ROOT / 'projects/cris/cris_tiny_refshapes.py', changes)).eval()
        photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        score = RISInferencer(model)(photo, 'the red ring').score
        weights = model.projector.txt
        weights.bias.data[-1] += math.log(0.35 / 0.65) - np.log(np.median(score[score > 0.01]) / (1 - np.median(score)))
        return save_folder(model, tmp_path_factory.mktemp('small') / 'cris')


@slow('two exports: half a minute')
def test_exported_graphs_give_the_photos_mask(small, project, tmp_path):
    """At the photo's size, by the model's own threshold, for any number of sentences; PyTorch's graph checks itself."""
    model = load_model(small, device='cpu')
    export_onnx(model, tmp_path / 'onnx')
    export_torch(model, tmp_path / 'torch')
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    own, exported = RISInferencer(model), RISInferencer(tmp_path / 'onnx')
    assert own.threshold == exported.threshold == 0.35
    middle = float(np.median(own(photo, 'blue').score))  # an untrained model finds everything or nothing by its own
    for level in (None, middle):
        found = (inferencer(photo, ['the red ring', 'blue'], level) for inferencer in (own, exported))
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one.score, other.score, atol=1e-5)
            far = np.abs(one.score - (level or 0.35)) > 1e-5
            assert np.array_equal(one.mask[far], other.mask[far])
    assert 0 < one.area < one.mask.size


def test_a_test_scores_by_all_protocols(small, project, refshapes, tmp_path, monkeypatch, capsys):
    """Its own and the common ones, from one pass, in words, too; the logits that it keeps give the same masks."""
    options = ['test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False', 'test_cfg.splits=val']
    options += ['test_cfg.shuffled=[]', f'data_root={refshapes}', 'experiment_name=test_a_test_scores']
    out = ('--out', tmp_path, '--save-logits', tmp_path / 'logits', '--tta', '--work-dir', tmp_path / 'work')
    run(monkeypatch, capsys, 'test.py', small, small, *out, '--cfg-options', *options)
    report = json.loads((tmp_path / 'metrics.json').read_text())
    metrics = report['metrics']
    assert {f'val/{name}{metric}' for name in ('', 'own/', 'common_photo/', 'common_64/') for metric in ('oIoU', 'mIoU')
            } < set(metrics)  # fmt: skip
    assert metrics['val/own/mIoU'] == pytest.approx(metrics['val/mIoU'], abs=1e-4)
    assert metrics['val/common_64/oIoU'] == metrics['val/common_photo/oIoU'] != metrics['val/oIoU'], 'photos of 64 x 64'
    assert report['mask_rule'] == RULE and 'score above 0.5' in report['protocols']['common_photo']
    line = json.loads((tmp_path / 'val.jsonl').read_text().splitlines()[0])
    logits, sample = read_logits(tmp_path / f'logits/val/{Path(line["img_path"]).stem}_{line["sent_id"]}.npz')
    kept, pred = mask_of(logits, sample.ori_shape, sample).numpy(), coco_mask.decode(line['pred']) == 1
    assert (kept != pred).mean() < 0.002, 'half the digits of a number are gone'


def test_more_words_than_the_towers_positions_are_not_counted(small, project):
    model = load_model(small, device='cpu')
    assert count_complexity(model, (64, 64), words=9).image_modules > 0
    with pytest.raises(ValueError, match='the text encoder cannot take sentences of 30 words'):
        count_complexity(model, (64, 64), words=30)


def test_pictures_of_stages_are_refused_by_name(small, project):
    with pytest.raises(ValueError, match='a CRIS has no stages at which language comes in'):
        stage_features(load_model(small, device='cpu'), np.zeros((40, 60, 3), np.uint8), 'the red ring')


def test_samples_are_drawn_with_their_truth_in_place():
    """The truth of a test has the photo's size, the input its shape with a border."""
    tool = runpy.run_path(str(ROOT / 'tools/analysis_tools/browse_dataset.py'))
    sample = SegDataSample(metainfo=dict(to_input=((0.5, 0, 0), (0, 0.5, 5)), img_shape=(30, 30)))
    mask = np.zeros((40, 60), bool)
    mask[20:, 40:] = True
    drawn = tool['in_input'](mask, sample)
    assert drawn.shape == (30, 30) and drawn[16:24, 21:29].all() and not drawn[:14].any() and not drawn[26:].any()
    assert tool['in_input'](drawn, sample) is drawn


def test_a_folder_says_which_project_it_needs(small):
    """In a process of its own, which has imported nothing; and opens where that is on the path."""
    home = str(ROOT / 'projects/cris')
    code = """
import sys
from mgfe_ris.apis import load_config, report_errors
try:
    with report_errors():
        load_config(sys.argv[1])
except SystemExit as stop:
    print(stop.code)
sys.path.append(sys.argv[2])
load_config(sys.argv[1])
"""
    command = [sys.executable, '-W', 'ignore', '-c', code, str(small), home]
    done = subprocess.run(command, env={**os.environ, 'PYTHONPATH': str(ROOT)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '2\n' and f'or set PYTHONPATH={home}, where ours are' in done.stderr
