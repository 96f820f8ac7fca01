"""Rows of ablations: that each is its base with the few lines of its file, on any data, and learns."""

import copy
import re
from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from transformers import AutoConfig

from mgfe_ris.apis import AblationRun, check_inputs, describe, find_rows, load_config, row_config
from mgfe_ris.apis.experiments.ablation import BASES
from mgfe_ris.evaluation import Protocol, read_published

TINY = [name for name in BASES.values() if '_tiny_' in name]
TABLES = {'table3': 5, 'table6': 5, 'table7': 4, 'table8': 6, 'table9': 5, 'lavt': 10, 'scale': 5}
ROWS = [(table, row) for table in TABLES for row in find_rows(table)]
NOT_IN_THE_PAPER = {table: [] for table in TABLES} | {
    'table8': ['5_focal-corrected', '6_dice-squared'],
    'lavt': [row for row in find_rows('lavt') if row != '1_words'],
    'scale': ['3_mgfe-held', '5_mgfe-dw-held'],
}


@pytest.mark.parametrize('table', TABLES)
def test_tables_have_their_rows_in_order(table):
    rows = list(find_rows(table))
    assert [row.split('_')[0] for row in rows] == [str(i + 1) for i in range(TABLES[table])]


read_once = cache(load_config)


@pytest.mark.parametrize('data', BASES)
@pytest.mark.parametrize(('table', 'row'), ROWS)
def test_a_row_is_another_base_with_the_same_changes(table, row, data):
    path = find_rows(table)[row]
    cfg, base = row_config(path, data), read_once(BASES[data])
    assert cfg.optim_wrapper == base.optim_wrapper
    for key in ('dataset', 'batch_size', 'sampler', 'num_workers'):
        assert cfg.train_dataloader[key] == base.train_dataloader[key]
    assert cfg.model.encoder == base.model.encoder and cfg.model.text_encoder == base.model.text_encoder
    own, full = read_once(path), read_once(BASES['refcoco'])
    for part in ('neck', 'loss'):
        expected = copy.deepcopy((own if own.model[part] != full.model[part] else base).model[part])
        sizes = {key: base.model[part][key] for key in ('channels', 'text_channels') if key in base.model[part]}
        expected.update(sizes)
        if part == 'neck' and 'map_size' in expected.attention:
            expected.attention.map_size = base.map_sizes
        assert cfg.model[part] == expected


LAVT = dict(attention='PixelWordAttention', refine=None, weigh='LanguageGate', decoder_reads='G', feedback=True)
FULL = LAVT | dict(refine='MGFE', weigh='DynamicWeight', decoder_reads='V+F')
ENTROPY = dict(type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1))
COMBINED = dict(type='CombineLoss', dice_weight=1, focal_weight=3)
MODELS_OF_ROWS = {
    'table6': [
        (LAVT | dict(attention='CoAttention'), ENTROPY),
        (LAVT | dict(attention='BidirectionalAttention'), ENTROPY),
        (LAVT | dict(attention='CollectDiffuseAttention'), ENTROPY),
        (LAVT, ENTROPY),
        (FULL, COMBINED),
    ],
    'table8': [
        (LAVT, ENTROPY),
        (LAVT, dict(type='MultiClassDiceLoss', squared=True)),
        (LAVT, dict(type='DiceBoundaryLoss', weight=0.05, dice=dict(squared=True))),
        (FULL, COMBINED),
        (FULL, COMBINED | dict(focal=dict(type='SoftmaxFocalLoss', corrected=True))),
        (FULL, COMBINED | dict(dice=dict(type='MultiClassDiceLoss', squared=True))),
    ],
    'table9': [
        (FULL, COMBINED | dict(dice_weight=dice, focal_weight=focal))
        for dice, focal in ((1, 4), (1, 3), (1, 1), (3, 1), (4, 1))
    ],
    'lavt': [
        (LAVT, ENTROPY),
        (LAVT | dict(attention='PooledSentence'), ENTROPY),
        (LAVT | dict(weigh=None), ENTROPY),
        (LAVT | dict(weigh=None, feedback=False), ENTROPY),
        (LAVT | dict(decoder_reads='V+F'), ENTROPY),
        (LAVT | dict(decoder_reads='V'), ENTROPY),
        *[(LAVT, ENTROPY)] * 4,  # the norm of the attention, and the gate's bound
    ],
}


@pytest.mark.parametrize('table', MODELS_OF_ROWS)
def test_rows_are_the_models_that_the_paper_compares(table):
    """Which of them stand on LAVT and which on the full model, part by part."""
    for path, (neck, loss) in zip(find_rows(table).values(), MODELS_OF_ROWS[table], strict=True):
        model = load_config(path).model
        parts = {name: model.neck.get(name) for name in ('attention', 'refine', 'weigh')}
        found = {name: part and part.type for name, part in parts.items()}
        found |= dict(decoder_reads=model.neck.decoder_reads, feedback=model.neck.get('feedback', True))
        assert found == neck, path
        assert model.loss == loss, path


def test_the_options_of_lavt_own_ablation():
    rows = {name: load_config(path).model.neck for name, path in find_rows('lavt').items()}
    norms = {name: rows[name].attention.get('norm', 'IN') for name in rows if name.endswith('norm')}
    assert norms == {'7_batch-norm': 'BN', '8_layer-norm': 'LN', '9_no-norm': None}
    assert rows['10_sigmoid-gate'].weigh.activation == 'sigmoid' and 'activation' not in rows['1_words'].weigh


# Zero but for rounding: what shifts all scores of a softmax alike, or what an instance norm takes away again
NO_GRADIENT = re.compile(r'key\.bias$|collect\.bias$|^neck\.attention\.\d\.(query|output)\.bias$')


@pytest.mark.parametrize(('table', 'row'), [*ROWS, *(('control', row) for row in find_rows('control'))])
def test_every_weight_of_a_small_row_learns(table, row, small_model):
    cfg = row_config(find_rows(table)[row], 'refshapes', options=None)
    cfg.merge_from_dict(small_model)
    init_default_scope('mmseg')
    target = torch.zeros(2, 64, 64, dtype=torch.long)
    target[:, 20:40, 10:50] = 1
    mask = torch.arange(20) < torch.tensor([[5], [9]])
    learns = set()
    for seed in range(3):  # the few rectifiers of so small a row may all be shut at one start
        torch.manual_seed(seed)
        model = MODELS.build(cfg.model).train()
        logits = model.segment(torch.randn(2, 3, 64, 64), torch.randint(50, 300, (2, 20)), mask)
        losses = model.loss_function(logits, target)
        (sum(losses.values()) if isinstance(losses, dict) else losses).backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
        assert not [name for name, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]
        learns |= {name for name, gradient in gradients.items() if gradient.any()}
    assert not [name for name in gradients.keys() - learns if not NO_GRADIENT.search(name)]


def test_the_rows_of_table_3_cost_what_the_paper_prints():
    """To the printed digit, by what ``ablate.py`` prints."""
    printed = [(227.74, 192.30), (236.26, 198.22), (227.74, 192.30), (237.65, 199.16), (237.65, 199.16)]
    for path, expected in zip(find_rows('table3').values(), printed, strict=True):
        found = describe(row_config(path, 'refcoco', from_scratch=True), 'refcoco')
        assert (round(found['params'], 2), round(found['gflops'], 2)) == expected
        assert found['published'] == load_config(path).published['refcoco']['val']
        assert found['protocol'] == Protocol('input', 480, 'single')


@pytest.mark.parametrize('data', BASES)
def test_a_row_is_described_on_any_data(data, small_swin, small_model):
    """With its pretrained weights named, of which the description needs none, and which it leaves where they are."""
    pretrained, options = BASES[data] not in TINY, small_model
    if pretrained:
        options = {} if data == 'photos' else small_swin
    path = find_rows('table3')['5_mgfe_dw_combine-loss']
    cfg = row_config(path, data, options=options)
    text = cfg.pretty_text
    found = describe(cfg, data)
    assert cfg.pretty_text == text and ("type='Pretrained'" in text) == pretrained
    assert 0 < found['params'] < (30 if data == 'photos' else 10) and 0 < found['gflops'] < 10
    mirrored = {'refshapes': 'refcoco', 'refshapes+': 'refcoco+', 'refshapesg': 'gref-umd'}.get(data, data)
    published = None if data == 'photos' else cfg.published[mirrored]['val']  # the paper has no other data
    assert found['published_on'] == mirrored and found['published'] == published


def test_settings_that_no_part_knows_are_an_error_of_the_input(small_model):
    path = find_rows('table3')['5_mgfe_dw_combine-loss']
    for options, said in (
        ({'model.neck.refine.widht': 3}, 'model.neck.refine.widht: nothing reads this key'),
        ({'model.loss.type': 'Nothing'}, 'with these settings: Nothing is not in the'),
        (
            {**small_model, 'model.decode_head.channels': (8, 16, 32, 8)},
            'the stages of ResNetEncoder are .* wide, decode_head.channels ',
        ),
    ):
        with pytest.raises(ValueError, match=said):
            describe(row_config(path, 'refshapes', options=options), 'refshapes')


def rows_on(root: Path, **options) -> list:
    options = {'data_root': str(root), **options}
    return [
        row_config(path, 'refshapes', seed, None, options) for path in find_rows('table9').values() for seed in (0, 1)
    ]


def test_data_are_read_once_each_before_any_run(refshapes, monkeypatch):
    built, build = [], DATASETS.build
    monkeypatch.setattr(DATASETS, 'build', lambda cfg: built.append((cfg['split'], cfg['per_sentence'])) or build(cfg))
    cfgs = rows_on(refshapes, **{'train_dataloader.dataset.per_sentence': False})
    texts = [cfg.pretty_text for cfg in cfgs]
    check_inputs(cfgs)
    assert built == [('train', False), ('val', True)]
    assert [cfg.pretty_text for cfg in cfgs] == texts


def test_data_that_are_missing_or_asked_for_wrongly_are_named(tmp_path, refshapes):
    with pytest.raises(FileNotFoundError, match=str(tmp_path / 'nowhere')):
        check_inputs(rows_on(tmp_path / 'nowhere'))
    for changes, said in (
        ({'train_dataloader.dataset.split': 'trian'}, "no split 'trian'"),
        (
            {'test_dataloader.dataset.splitby': 'unc'},
            'test_dataloader.dataset.splitby: nothing reads this key; did you mean .*split_by',
        ),
    ):
        with pytest.raises(ValueError, match=said):
            check_inputs(rows_on(refshapes, **changes))


def test_data_in_wrappers_are_read_with_the_split_of_the_test(refshapes):
    (cfg, *_) = rows_on(refshapes)
    one = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[{**one, 'split': 'testA'}])
    check_inputs([cfg])
    cfg.test_cfg.splits = ('trian',)
    with pytest.raises(ValueError, match="no split 'trian'"):
        check_inputs([cfg])


def test_weights_that_are_missing_are_named(tmp_path, refshapes):
    place = str(tmp_path / 'resnet.pth')
    named = {'model.encoder.init_cfg': dict(type='Pretrained', checkpoint=place)}
    with pytest.raises(FileNotFoundError, match=place):
        check_inputs(rows_on(refshapes, **named))
    for option in ('text_encoder.pretrained', 'data_preprocessor.tokenizer.pretrained'):
        with pytest.raises(OSError, match=f'neither a local folder nor to be had .*model.{option}=DIR'):
            check_inputs(rows_on(refshapes, **{f'model.{option}': 'no-such/model'}))


@pytest.mark.parametrize(('table', 'row'), ROWS)
def test_published_numbers_are_of_the_data_they_name(table, row):
    published = load_config(find_rows(table)[row]).get('published')
    if row in NOT_IN_THE_PAPER[table]:
        assert not published
        return
    sets = {'refcoco', 'refcoco+', 'gref-umd'} if table in ('table3', 'scale') or row == '1_words' else {'refcoco'}
    assert set(published) == {*sets, 'protocol'}
    for data in sets:
        numbers, protocol = read_published(published, data, 'val')
        assert protocol == Protocol(score_at='input', size=480, training='single')
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
    with pytest.raises(ValueError, match=r"no table 'table4'; there are \['control', 'encoder', 'init', 'lavt'"):
        find_rows('table4')
    with pytest.raises(ValueError, match=r"no data 'refclef'; there are \['refcoco'"):
        row_config(path, 'refclef')
    with pytest.raises(ValueError, match='epochs must be 1 or more; got 0'):
        row_config(path, 'refshapes', epochs=0)
    with pytest.raises(ValueError, match=r"expected a line _base_ = '...', in whose place"):
        load_config('mgfe-ris_tiny_refshapes', base='mgfe-ris_tiny_refcoco')


# The run of a row and a seed, with tools that train nothing

TRAIN = """
import os, pathlib, shutil, sys
print('threads', os.environ['OMP_NUM_THREADS'])
folder = pathlib.Path(sys.argv[3])
(folder / '1/vis_data').mkdir(parents=True, exist_ok=True)
(folder / '1/vis_data/scalars.json').write_text('')
for epoch in (1, 2):
    shutil.copy(pathlib.Path(__file__).with_name(f'epoch_{epoch}.pth'), folder)
(folder / 'last_checkpoint').write_text('/where/it/was/then/epoch_2.pth')
"""
TEST = """
import pathlib, sys
print('tested', *sys.argv[1:3])
out = pathlib.Path(sys.argv[-1])
out.mkdir()
(out / 'val.jsonl').write_text('{}')
"""


@pytest.fixture
def tools(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / 'tools'
    folder.mkdir()
    for epoch in (1, 2):
        torch.save(dict(meta=dict(iter=epoch)), folder / f'epoch_{epoch}.pth')
    (folder / 'train.py').write_text(TRAIN)
    (folder / 'test.py').write_text(TEST)
    monkeypatch.setattr('mgfe_ris.apis.experiments.ablation.TOOLS', folder)
    return folder


def run_of(folder: Path, epochs: int = 2) -> AblationRun:
    return AblationRun(
        '1_baseline', 0, folder, row_config(find_rows('table3')['1_baseline'], 'refshapes', epochs=epochs)
    )


def finish(run: AblationRun, threads: int = 1) -> None:
    run.prepare()
    for process in run.train_and_test(threads):
        process.wait()


def test_a_run_trains_and_tests_the_last_checkpoint(tools, tmp_path):
    run = run_of(tmp_path / 'run')
    assert not run.done and run.trained() == 0
    finish(run)
    assert run.done and run.trained() == 2 and run.minutes() >= 0
    folder = tmp_path / 'run'
    said = [line for line in (folder / 'log.txt').read_text().splitlines() if line.startswith(('threads', 'tested'))]
    assert said == ['threads 1', f'tested {folder / "config.py"} {folder / "train/epoch_2.pth"}'], "of today's folder"
    assert load_config(folder / 'config.py').train_cfg.max_epochs == 2


def test_what_was_begun_keeps_its_number_of_threads(tools, tmp_path):
    run = run_of(tmp_path / 'run')
    (tools / 'test.py').write_text('raise SystemExit(1)')
    for threads, taken in ((3, 3), (5, 3), (1, 3)):
        with pytest.raises(RuntimeError):
            finish(run, threads)
        assert (run.folder / 'threads.txt').read_text() == f'{taken}\n'
        assert (run.folder / 'log.txt').read_text().splitlines()[-1] == f'threads {taken}'
    (run.folder / 'threads.txt').unlink()  # begun before there was the file
    with pytest.raises(RuntimeError):
        finish(run, 4)
    assert (run.folder / 'threads.txt').read_text() == '4\n'


def test_what_never_began_keeps_no_number_of_threads(tools, tmp_path):
    run = run_of(tmp_path / 'run')
    (tools / 'train.py').write_text('raise SystemExit(1)')
    for threads in (3, 5):
        with pytest.raises(RuntimeError):
            finish(run, threads)
        assert (run.folder / 'threads.txt').read_text() == f'{threads}\n'


@pytest.mark.parametrize(
    ('tool', 'reason'),
    [
        (
            'print("1\\n2"); print("error: no photos", file=__import__("sys").stderr); exit(2)',
            r'status 2, .*: no photos$',
        ),
        ('raise ValueError("too small")', r'status 1, .*log\.txt\): ValueError: too small$'),
        ('print(*range(9), sep="\\n"); exit(3)', r'status 3, .*: 4\n5\n6\n7\n8$'),
        ('import os; os.kill(os.getpid(), 9)', r'status -9, .*: it said nothing$'),
    ],
)
def test_the_end_of_the_log_says_why_a_run_failed(tools, tmp_path, tool, reason):
    run = run_of(tmp_path / 'run')
    run.prepare()
    (run.folder / 'log.txt').write_text('error: of another time\n')
    (tools / 'train.py').write_text(tool)
    with pytest.raises(RuntimeError, match=rf'^1_baseline, seed 0: train\.py failed \({reason}'):
        finish(run)
    assert not run.done


def test_who_closes_a_run_ends_its_process(tools, tmp_path):
    run = run_of(tmp_path / 'run')
    run.prepare()
    (tools / 'train.py').write_text('import time; time.sleep(100)')
    steps = run.train_and_test(1)
    process = next(steps)
    assert process.poll() is None
    steps.close()
    assert process.poll() is not None
    assert len((run.folder / 'seconds.txt').read_text().splitlines()) == 1, 'its time counts'


def test_epochs_that_are_trained_are_read_from_log_and_checkpoint(tmp_path):
    run = run_of(tmp_path / 'run', epochs=4)
    run.prepare()
    log = run.folder / 'log.txt'
    log.write_text('x' * 20_000 + '\nEpoch(train)  [1][ 10/452]\n... Epoch(train)  [2][113/452]  loss: 1\nEpoch(val)')
    assert run.trained() == 1.25
    (run.folder / 'train').mkdir()
    (run.folder / 'train/last_checkpoint').write_text('/elsewhere/epoch_2.pth')
    log.write_text('the config, at great length')
    assert run.trained() == 2, 'resumed'
    log.write_text('Epoch(train)  [3][226/452]')
    assert run.trained() == 2.5


def test_settings_may_be_corrected_until_something_is_trained(tools, tmp_path):
    run = run_of(tmp_path / 'run', epochs=1)
    (tools / 'train.py').write_text(f'open({str(run.folder / "train")!r} + ".txt", "w"); exit(1)')
    with pytest.raises(RuntimeError):
        finish(run)
    corrected = run_of(tmp_path / 'run')
    corrected.prepare()
    assert load_config(run.folder / 'config.py').train_cfg.max_epochs == 2
    assert not (run.folder / 'seconds.txt').exists(), 'of other settings'
    (tools / 'train.py').write_text(TRAIN)
    finish(corrected)
    for trained in ('val.jsonl', 'train/epoch_1.pth', 'train/epoch_2.pth'):
        with pytest.raises(ValueError, match='holds a run of other settings'):
            run.prepare()
        (run.folder / trained).unlink()
    with pytest.raises(ValueError, match='holds a run of other settings'):  # steps of an epoch that did not end
        run.check()


def test_a_config_is_written_once(tmp_path):
    run = run_of(tmp_path / 'run')
    run.prepare()
    path = run.folder / 'config.py'
    assert path.read_text() == run.cfg.pretty_text and [file.name for file in run.folder.iterdir()] == ['config.py']
    before = path.stat().st_mtime_ns, path.stat().st_ino
    run.prepare()
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@pytest.mark.parametrize('left', ['val.jsonl', 'train/epoch_1.pth'])
def test_results_without_their_config_are_not_taken_up(tmp_path, left):
    run = run_of(tmp_path / 'run')
    (run.folder / left).parent.mkdir(parents=True)
    (run.folder / left).write_text('')
    for step in (run.check, run.prepare):
        with pytest.raises(ValueError, match=r'holds a run of unknown settings, without its config\.py'):
            step()
    assert not (run.folder / 'config.py').exists()


@pytest.mark.parametrize('row', find_rows('encoder'))
def test_an_encoder_replaces_the_small_ones_and_fits_the_rest(row):
    """On the small base, too: its chain of files says all that belongs to the encoder."""
    cfg, full = (row_config(find_rows('encoder')[row], data) for data in ('refshapes', 'refcoco'))
    for model in (cfg.model, full.model):
        assert model.neck.text_channels == AutoConfig.for_model(**model.text_encoder.config).hidden_size
    assert cfg.model.encoder == full.model.encoder or row in ('6_clip', '7_roberta')
    text = row in ('6_clip', '7_roberta')
    assert (cfg.model.text_encoder.config == full.model.text_encoder.config) == text
    assert tuple(cfg.model.neck.channels) == tuple(cfg.model.decode_head.channels)
    assert cfg.train_dataloader == row_config(find_rows('table3')['1_baseline'], 'refshapes').train_dataloader
    if row == '3_swin-base':
        assert full.model == load_config(BASES['refcoco']).model
