"""Every config parses, builds offline, and says what it means to say."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mgfe_ris.apis import find_rows, load_config, row_config
from mgfe_ris.apis.config.json_settings import READ
from mgfe_ris.datasets.synthetic import write_refshapes
from mgfe_ris.models.shapes_only import shapes_only

ROOT = Path(__file__).parents[1] / 'configs'
CONFIGS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('[!_]*/*.py'))
AUGMENTED = 'mgfe_ris/mgfe-ris_swin-base_refcoco_augmented.py'
GENERALIZED = 'mgfe_ris/mgfe-ris_swin-base_grefcoco.py'
OWN = 'mgfe_ris/mgfe-ris_swin-base_own-data.py'
PUBLISHED = [
    name
    for name in CONFIGS
    if ('_swin-base_re' in name or '_swin-base_gref' in name or 'table' in name) and name != AUGMENTED
]
SMALL = [name for name in CONFIGS if 'ris_tiny' in name or 'lavt_tiny' in name]
PHOTOS = [name for name in CONFIGS if '_photos' in name]
MIXED = 'mgfe_ris/mgfe-ris_swin-base_mixed.py'
OTHER_ENCODERS = sorted(
    name
    for name in set(CONFIGS) - set(PUBLISHED) - set(SMALL) - set(PHOTOS) - {AUGMENTED, GENERALIZED, OWN, MIXED}
    if not name.startswith('ablations')  # rows that inherit from them, see test_apis/test_ablation_rows.py
)  # see test_encoder_configs.py


def build(name: str):
    cfg = load_config(ROOT / name, from_scratch=True)
    init_default_scope(cfg.default_scope)
    return cfg, MODELS.build(cfg.model)


def build_published(name: str):
    """Its shapes: the numbers of 240 M parameters take seconds to draw."""
    cfg = load_config(ROOT / name, from_scratch=True)
    init_default_scope(cfg.default_scope)
    with shapes_only():
        return cfg, MODELS.build(cfg.model)


def test_there_is_a_config_for_every_data_set():
    names = {Path(name).stem for name in CONFIGS}
    data_sets = ('refcoco', 'refcoco+', 'gref-umd', 'gref-google')
    published = {f'{model}_swin-base_{data}' for model in ('mgfe-ris', 'lavt') for data in data_sets}
    small = {f'mgfe-ris_tiny_{data}' for data in ('refshapes', 'refshapes+', 'refshapesg', 'grefshapes', 'refcoco')}
    assert published | small | {'lavt_tiny_refshapes'} <= names
    assert len([name for name in names if name.startswith('table3_')]) == 5
    assert {Path(name).stem for name in OTHER_ENCODERS} == {
        *(f'mgfe-ris_swin-{size}_refcoco' for size in ('tiny', 'small', 'large')),
        *(f'mgfe-ris_{encoder}_refcoco' for encoder in ('resnet-50', 'resnet-101', 'convnext-base', 'vit-base-dino')),
        *(f'mgfe-ris_swin-base_{text}_refcoco' for text in ('roberta', 'clip')),
        *(f'mgfe-ris_clip-{tower}_refcoco' for tower in ('rn50', 'vit-b16')),
        *(f'mgfe-ris_efficientnet-{lite}_minilm_refcoco' for lite in ('lite0', 'lite2')),
    }


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_config_follows_the_paper(name):
    cfg = load_config(ROOT / name)
    assert cfg.model.text_encoder.pretrained == cfg.model.data_preprocessor.tokenizer.pretrained == 'bert-base-uncased'
    assert cfg.model.encoder.init_cfg.checkpoint.endswith('swin_base_patch4_window12_384_20220317-55b0104a.pth')
    assert cfg.train_dataloader.batch_size == cfg.auto_scale_lr.base_batch_size == 8
    assert cfg.train_cfg.max_epochs == cfg.param_scheduler.end == 40
    adamw = dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=True)
    assert cfg.optim_wrapper.optimizer == adamw
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        stages = [s for t in loader.dataset.pipeline for s in (t.transforms if t.type == 'OncePerPhoto' else [t])]
        names = {t.type for t in stages}
        assert names == {'LoadPhoto', 'LoadReferringMask', 'Resize', 'PickSentence', 'PackSegInputs'}
        assert next(t for t in stages if t.type == 'Resize') == dict(
            type='Resize', scale=(480, 480), keep_ratio=False, backend='pillow'
        )
        assert loader.dataset.get('per_sentence', False) == (loader is not cfg.train_dataloader)


@pytest.mark.parametrize(
    ('name', 'folder', 'split_by', 'splits'),
    [
        ('refcoco', 'refcoco', 'unc', ('val', 'testA', 'testB')),
        ('refcoco+', 'refcoco+', 'unc', ('val', 'testA', 'testB')),
        ('gref-umd', 'refcocog', 'umd', ('val', 'test')),
        ('gref-google', 'refcocog', 'google', ('val',)),
    ],
)
def test_published_config_reads_its_own_data(name, folder, split_by, splits):
    for model in ('mgfe-ris', 'lavt'):
        cfg = load_config(f'{model}_swin-base_{name}')
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert (loader.dataset.ann_folder, loader.dataset.split_by) == (folder, split_by)
        assert tuple(cfg.test_cfg.splits) == splits


def test_grefcoco_is_refcoco_with_several_targets_or_none():
    cfg, plain = load_config(ROOT / GENERALIZED), load_config('mgfe-ris_swin-base_refcoco')
    assert cfg.model == plain.model and cfg.optim_wrapper == plain.optim_wrapper
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert (loader.dataset.ann_folder, loader.dataset.split_by, loader.dataset.no_target) == (
            'grefcoco',
            'unc',
            True,
        )
    assert cfg.val_evaluator == cfg.test_evaluator == dict(type='GeneralizedRefSegMetric', min_pixels=50)
    assert cfg.default_hooks.checkpoint.save_best == 'gIoU'


def test_mixed_training_is_that_of_refcoco_on_three_data_sets():
    cfg, plain = load_config(ROOT / MIXED, data_root='elsewhere'), load_config('mgfe-ris_swin-base_refcoco')
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'val_evaluator', 'test_cfg'):
        assert cfg[key] == plain[key]
    train = cfg.train_dataloader.dataset
    assert train.type == 'MixedDataset' and 'published' not in cfg
    assert [(part.ann_folder, part.split_by, part.split) for part in train.datasets] == [
        ('refcoco', 'unc', 'train'),
        ('refcoco+', 'unc', 'train'),
        ('refcocog', 'umd', 'train'),
    ]
    for part in (*train.datasets, cfg.val_dataloader.dataset):
        assert part.data_root == 'elsewhere'
    assert all(part.pipeline == plain.train_dataloader.dataset.pipeline for part in train.datasets)
    assert {key: value for key, value in cfg.train_dataloader.items() if key != 'dataset'} == {
        key: value for key, value in plain.train_dataloader.items() if key != 'dataset'
    }


def test_the_drawn_mix_reads_all_flavours(tmp_path):
    for flavour in ('refshapes', 'refshapes+', 'refshapesg'):
        write_refshapes(tmp_path, flavour, images=10, seed=0, size=64, progress=False)
    init_default_scope('mmseg')
    cfg = load_config('mgfe-ris_tiny_refshapes_mixed', data_root=str(tmp_path))
    mixed = DATASETS.build(cfg.train_dataloader.dataset)
    sizes = [len(DATASETS.build(load_config(f'mgfe-ris_tiny_{name}', data_root=str(tmp_path)).train_dataloader.dataset))
             for name in ('refshapes', 'refshapes+', 'refshapesg')]  # fmt: skip
    assert [len(part) for part in mixed.datasets] == sizes and mixed[len(mixed) - 1]['data_samples'].part == 2
    assert all(part['left_out']['refs'] == 0 for part in mixed.metainfo['protocol']['parts'])


def test_own_data_as_the_readme_lays_them_out(tmp_path):
    init_default_scope('mmseg')
    (tmp_path / 'photos').mkdir()
    Image.new('RGB', (60, 40)).save(tmp_path / 'photos/a.jpg')
    Image.new('L', (60, 40), 255).save(tmp_path / 'photos/a_cup.png')
    lines = [
        '{"image": "a.jpg", "sentences": ["left cup", "the red cup"], "mask": [[5, 5, 20, 5, 20, 30, 5, 30]]}',
        '{"image": "a.jpg", "sentences": ["everything"], "mask": "a_cup.png"}',
    ]
    (tmp_path / 'train.jsonl').write_text('\n'.join(lines))
    (tmp_path / 'val.jsonl').write_text(lines[0])
    cfg = load_config(ROOT / OWN, data_root=str(tmp_path))
    train, val = (DATASETS.build(loader.dataset) for loader in (cfg.train_dataloader, cfg.val_dataloader))
    assert (len(train), len(val)) == (2, 2)
    assert train[0]['data_samples'].gt_sem_seg.data.float().mean().item() == pytest.approx(375 / 2400, abs=0.03)
    assert train[1]['data_samples'].gt_sem_seg.data.all() and train[1]['data_samples'].sentence == 'everything'
    assert {val[i]['data_samples'].sentence for i in range(2)} == {'left cup', 'the red cup'}

    Image.new('L', (30, 20), 255).save(tmp_path / 'photos/a_cup.png')
    with pytest.raises(ValueError, match=r'a_cup\.png is \(30, 20\), its annotation says \(60, 40\)'):
        DATASETS.build(cfg.train_dataloader.dataset)
    (tmp_path / 'photos/a_cup.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'a_cup\.png'):
        DATASETS.build(cfg.train_dataloader.dataset)


@pytest.mark.parametrize('size', ['swin-base_refcoco', 'tiny_refshapes'])
def test_lavt_has_the_papers_parts(size):
    ours, lavt = (load_config(f'{model}_{size}') for model in ('mgfe-ris', 'lavt'))
    assert lavt.model.neck.pop('weigh') == dict(type='LanguageGate')
    assert lavt.model.neck.pop('refine') is None and lavt.model.neck.pop('decoder_reads') == 'G'
    assert lavt.model.pop('loss') == dict(type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1))
    for key in ('weigh', 'refine', 'decoder_reads'):
        del ours.model.neck[key]
    del ours.model['loss']
    assert lavt.model == ours.model
    assert lavt.train_dataloader == ours.train_dataloader and lavt.param_scheduler == ours.param_scheduler


@pytest.mark.parametrize('data', ['refcoco', 'refshapes'])
def test_the_controls_are_rows_of_table_3_but_for_what_the_decoder_reads(data):
    found = {row: row_config(path, data).to_dict() for row, path in find_rows('control').items()}
    lavt, mgfe = (row_config(find_rows('table3')[row], data).to_dict() for row in ('1_baseline', '2_mgfe'))
    reads = {row: cfg['model']['neck']['decoder_reads'] for row, cfg in found.items()}
    assert reads == {'1_lavt': 'G', '2_lavt_v+f': 'V+F', '3_mgfe': 'V+F'}
    assert found['1_lavt'] == lavt and found['3_mgfe'] == mgfe
    lavt['model']['neck']['decoder_reads'] = 'V+F'
    assert found['2_lavt_v+f'] == {**lavt, 'published': {}}, 'the paper has no such row'


@pytest.mark.parametrize('name', CONFIGS)
def test_a_config_can_be_shared_as_json(name, tmp_path):
    cfg = load_config(ROOT / name, from_scratch=True).to_dict()
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(cfg))
    read = load_config(path).to_dict()
    assert read == {key: value for key, value in json.loads(json.dumps(cfg)).items() if key in READ}
    assert {'model', 'test_dataloader', 'test_evaluator', 'default_hooks', 'optim_wrapper'} <= read.keys()


def test_an_initialiser_in_json_names_no_file(tmp_path):
    cfg = load_config('init_4_mgfe-zero', from_scratch=True).to_dict()
    cfg['model']['neck']['refine']['init_cfg']['override'].update(type='Pretrained', checkpoint='w.pth')
    path = tmp_path / 'config.json'
    path.write_text(json.dumps(cfg))
    with pytest.raises(ValueError, match='asks for code beyond the parts of mgfe_ris: Pretrained'):
        load_config(path)


def test_mgfe_begins_as_its_rows_say():
    """G' is 0 in row 4, and in row 5 larger than by default, at every stage."""
    torch.manual_seed(0)
    sizes = {}
    for row in ('1_open', '4_mgfe-zero', '5_mgfe-full'):
        neck = MODELS.build(row_config(find_rows('init')[row], 'refshapes').model.neck)
        neck.init_weights()
        g = [torch.randn(2, part.qkv.in_channels, 8, 8) for part in neck.refine]
        sizes[row] = [part(x).abs().max().item() for part, x in zip(neck.refine, g, strict=True)]
    default, zero, full = sizes.values()
    assert zero == [0, 0, 0, 0]
    assert all(b > 1.5 * a > 0 for a, b in zip(default, full, strict=True)), sizes


# One model at full size serves for all that share it
FULL_SIZE = ['mgfe_ris/mgfe-ris_swin-base_refcoco.py', 'lavt/lavt_swin-base_refcoco.py']


@pytest.mark.parametrize('name', [*FULL_SIZE, 'ablations/table3_1_baseline.py'])
def test_optimizer_groups_of_the_published_model(name):
    cfg, model = build_published(name)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    norms = {id(p) for m in model.modules() if 'Norm' in type(m).__name__ for p in m.parameters(recurse=False)}
    for parameter_name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        exempt = id(parameter) in norms or 'relative_position_bias_table' in parameter_name
        if name.startswith('lavt'):  # the official groups
            exempt = exempt and parameter_name.startswith('encoder.')
        assert decays[id(parameter)] == (0.0 if exempt else 0.01), parameter_name
    frozen = {n for n, p in model.text_encoder.named_parameters() if not p.requires_grad}
    bert = 'model.'
    assert {n.removeprefix(bert).split('.weight')[0].split('.bias')[0].split('.')[0] for n in frozen} == {
        'embeddings', 'encoder'
    }  # fmt: skip
    assert {n.split('.')[3] for n in frozen if n.startswith(f'{bert}encoder')} == {'10', '11'}


@pytest.mark.parametrize('name', SMALL)
def test_small_config_takes_a_step(name):
    cfg, model = build(name)
    model.init_weights()
    model.train()
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    ids = torch.randint(50, 300, (2, 20))
    mask = torch.arange(20) < torch.tensor([[5], [9]])
    target = torch.zeros(2, 64, 64, dtype=torch.long)
    target[:, 20:40, 10:50] = 1
    losses = model.loss_function(model.segment(torch.randn(2, 3, 64, 64), ids, mask), target)
    (sum(losses.values()) if isinstance(losses, dict) else losses).backward()
    learns = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    frozen = {n.rsplit('.', 3)[0] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == ({'neck.weigh.3'} if 'lavt' in name else set()), 'the last gate of LAVT feeds nothing'
    without = [n for n, p in learns if p.grad is None or not p.grad.isfinite().all()]
    assert not without
    wrapper.step()
    assert any(not torch.equal(before[n], p) for n, p in model.named_parameters() if n.startswith('neck'))


@pytest.mark.parametrize('name', [*FULL_SIZE, *(n for n in PUBLISHED if 'table3' in n)])
def test_every_parameter_of_a_published_config_learns_or_is_frozen(name):
    """Frozen are BERT as far as the recipe says (above) and what the baseline's decoder never reads."""
    _, model = build_published(name)
    model.train()
    with torch.device('meta'):
        photos, ids, mask = torch.zeros(2, 3, 64, 64), torch.zeros(2, 20).long(), torch.ones(2, 20).bool()
        target = torch.zeros(2, 64, 64).long()
    losses = model.loss_function(model.segment(photos, ids, mask), target)
    (sum(losses.values()) if isinstance(losses, dict) else losses).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    frozen = {n.rsplit('.', 4)[0] for n, p in model.named_parameters() if not p.requires_grad and n.startswith('neck')}
    assert frozen == ({'neck.weigh'} if model.neck.decoder_reads == 'G' else set())
