"""Rows of ablations: that each is its base with the few lines of its file, on any data, and learns."""

import copy

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from mgfe_ris.apis import AblationRun, find_rows, load_config, row_config
from mgfe_ris.apis.ablation import BASES
from mgfe_ris.evaluation import count_complexity

TABLES = {'table3': 5, 'table6': 5, 'table7': 4, 'table8': 4, 'table9': 5}
ROWS = [(table, row) for table in TABLES for row in find_rows(table)]


@pytest.mark.parametrize('table', TABLES)
def test_tables_have_their_rows_in_order(table):
    rows = list(find_rows(table))
    assert [row.split('_')[0] for row in rows] == [str(i + 1) for i in range(TABLES[table])]


@pytest.mark.parametrize('data', BASES)
@pytest.mark.parametrize(('table', 'row'), ROWS)
def test_a_row_is_another_base_with_the_same_changes(table, row, data):
    path = find_rows(table)[row]
    cfg, base = row_config(path, data), load_config(BASES[data])
    assert cfg.optim_wrapper == base.optim_wrapper
    for key in ('dataset', 'batch_size', 'sampler', 'num_workers'):
        assert cfg.train_dataloader[key] == base.train_dataloader[key]
    assert cfg.model.encoder == base.model.encoder and cfg.model.text_encoder == base.model.text_encoder
    own, full = load_config(path), load_config(BASES['refcoco'])
    for part in ('neck', 'loss'):
        expected = copy.deepcopy(own.model[part]) if own.model[part] != full.model[part] else base.model[part]
        sizes = {key: base.model[part][key] for key in ('channels', 'text_channels') if key in base.model[part]}
        expected.update(sizes)
        if part == 'neck' and 'text_channels' in (expected.refine or {}):
            expected.refine.text_channels = base.model.neck.text_channels
        assert cfg.model[part] == expected


@pytest.mark.parametrize(('table', 'row'), ROWS)
def test_every_weight_of_a_small_row_learns(table, row, small_model):
    cfg = row_config(find_rows(table)[row], 'refshapes', options=None)
    cfg.merge_from_dict(small_model)
    if 'text_channels' in (cfg.model.neck.refine or {}):
        cfg.model.neck.refine.text_channels = cfg.model.neck.text_channels
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).train()
    target = torch.zeros(2, 64, 64, dtype=torch.long)
    target[:, 20:40, 10:50] = 1
    mask = torch.arange(20) < torch.tensor([[5], [9]])
    logits = model.segment(torch.randn(2, 3, 64, 64), torch.randint(50, 300, (2, 20)), mask)
    losses = model.loss_function(logits, target)
    (sum(losses.values()) if isinstance(losses, dict) else losses).backward()
    without = [
        name
        for name, p in model.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.isfinite().all())
    ]
    assert not without


def test_the_rows_of_table_3_cost_what_the_paper_prints():
    """To the printed digit, from what ``ablate.py`` prints."""
    printed = [(227.74, 192.30), (236.26, 198.22), (227.74, 192.30), (237.65, 199.16), (237.65, 199.16)]
    init_default_scope('mmseg')
    for path, expected in zip(find_rows('table3').values(), printed, strict=True):
        model = MODELS.build(row_config(path, 'refcoco', from_scratch=True).model)
        found = count_complexity(model, (480, 480), words=30)
        assert (round(found.image_params + found.text_params, 2), round(found.image_modules, 2)) == expected


@pytest.mark.parametrize(('table', 'row'), ROWS)
def test_published_numbers_are_of_the_data_they_name(table, row):
    published = load_config(find_rows(table)[row]).published
    assert set(published) == ({'refcoco', 'refcoco+', 'gref-umd'} if table == 'table3' else {'refcoco'})
    for numbers in published.values():
        assert list(numbers) == ['P@0.5', 'P@0.7', 'P@0.9', 'mIoU', 'oIoU']
        assert numbers['P@0.5'] > numbers['P@0.7'] > numbers['P@0.9'] and numbers['mIoU'] > numbers['oIoU']


def test_a_schedule_is_stretched_to_other_epochs():
    path = find_rows('table3')['1_baseline']
    tiny, full = row_config(path, 'refshapes', epochs=7), row_config(path, 'refcoco', seed=2, epochs=5)
    assert [s.get('end') for s in tiny.param_scheduler] == [100, 7], 'the warm-up is of 100 steps'
    assert full.param_scheduler.end == full.train_cfg.max_epochs == 5 and full.randomness.seed == 2
    assert row_config(path, 'refcoco').train_cfg.max_epochs == 40
    for cfg in (tiny, full):
        assert tuple(cfg.test_cfg.splits) == ('val',) and not cfg.test_cfg.get('shuffled')
        assert cfg.train_cfg.val_begin > cfg.train_cfg.max_epochs


def test_wrong_names_are_said():
    path = find_rows('table3')['1_baseline']
    with pytest.raises(ValueError, match=r"no table 'table4'; there are \['encoder', 'init', 'table3'"):
        find_rows('table4')
    with pytest.raises(ValueError, match=r"no data 'refclef'; there are \['refcoco'"):
        row_config(path, 'refclef')
    with pytest.raises(ValueError, match='epochs must be 1 or more; got 0'):
        row_config(path, 'refshapes', epochs=0)
    with pytest.raises(ValueError, match=r"expected a line _base_ = '...', in whose place"):
        load_config('mgfe-ris_tiny_refshapes', base='mgfe-ris_tiny_refcoco')


def test_a_folder_keeps_to_its_settings(tmp_path):
    path = find_rows('table3')['1_baseline']
    run = AblationRun('1_baseline', 0, tmp_path / 'run')
    run.prepare(row_config(path, 'refshapes', epochs=1))
    run.prepare(row_config(path, 'refshapes', epochs=1))
    with pytest.raises(ValueError, match='holds a run of other settings'):
        run.prepare(row_config(path, 'refshapes', epochs=2))
    assert load_config(run.folder / 'config.py').train_cfg.max_epochs == 1


@pytest.mark.parametrize('row', find_rows('encoder'))
def test_an_encoder_replaces_the_small_ones_and_fits_the_rest(row):
    """On the small base, too: its chain of files says all that belongs to the encoder."""
    cfg, full = (row_config(find_rows('encoder')[row], data) for data in ('refshapes', 'refcoco'))
    assert cfg.model.encoder == full.model.encoder or row in ('6_clip', '7_roberta')
    text = row in ('6_clip', '7_roberta')
    assert (cfg.model.text_encoder.config == full.model.text_encoder.config) == text
    assert tuple(cfg.model.neck.channels) == tuple(cfg.model.decode_head.channels)
    assert cfg.train_dataloader == row_config(find_rows('table3')['1_baseline'], 'refshapes').train_dataloader
    if row == '3_swin-base':
        assert full.model == load_config(BASES['refcoco']).model
