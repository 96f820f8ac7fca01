"""Changes of a config on the command line: how they are read, and what is refused."""

import argparse
from pathlib import Path

import pytest
from mmengine.config import DictAction
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from mgfe_ris.apis import load_config
from mgfe_ris.apis.config.option_texts import parse_options

TINY, PAPER = 'mgfe-ris_tiny_refshapes', 'mgfe-ris_swin-base_refcoco'


def value(text: str) -> object:
    ((parsed, written),) = parse_options([f'key={text}']).values()
    assert written == text
    return parsed


# Texts


@pytest.mark.parametrize(
    'text',
    ['0.5', '1', '1e-3', '1,2', '[1,2]', '(1,2)', 'val,', '[(1,x),None]', '[[1],(2,)]', '(true,)', '()', '[]']
    + ['x=y', '', '"h"', 'None', 'False', 'a,b'],
)
def test_values_are_read_as_mmengine_reads_them(text):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    expected = parser.parse_args(['--cfg-options', f'key={text}']).cfg_options['key']
    assert value(text) == expected and type(value(text)) is type(expected)


PATHS = [
    '/data/my photos',
    '/a (1)/b',
    '[x]/photos',
    '/odd(name',
    "it's",
    '/a=b',
    'ünï/写真',
    r'C:\a b',
    'a"b"',
    ' lead',
]


@pytest.mark.parametrize('path', PATHS)
def test_every_character_of_a_path_is_kept(path):
    assert value(path) == path
    assert load_config(TINY, [f'data_root={path}']).train_dataloader.dataset.data_root == path


@pytest.mark.parametrize('path', [*PATHS[:4], '/a, b', '1,2', 'None', '[a', '(b', '12'])
def test_quotes_keep_everything(path):
    for quote in '\'"':
        assert value(f'{quote}{path}{quote}') == path
        assert value(f'[{quote}{path}{quote}, other name]') == [path, 'other name']


def test_blanks_stay_inside_of_words_of_a_list():
    assert value('my photos, other ones') == ['my photos', 'other ones']
    assert value("[it's, (a b, 2)]") == ["it's", ('a b', 2)]


@pytest.mark.parametrize('text', ['[1,2', '1,2]', '(1,2]', '[', '[(1,2]', '["a, b]'])
def test_brackets_without_their_other_half(text):
    with pytest.raises(ValueError) as error:
        value(text)
    assert str(error.value).startswith(f'--cfg-options key={text}: Imbalanced brackets; a text with brackets or commas')


@pytest.mark.parametrize('text', ['data_root', '=1'])
def test_a_text_that_is_no_option_is_named(text):
    with pytest.raises(ValueError) as error:
        load_config(TINY, ['resume=True', text])
    assert str(error.value) == f'--cfg-options {text}: expected key=value'


# Keys


def refusal(text: str, config: str | Path = TINY) -> str:
    with pytest.raises(ValueError) as error:
        load_config(config, [text])
    said = str(error.value)
    assert said.startswith(f'--cfg-options {text.split("=")[0]}') and '\n' not in said
    return said


@pytest.mark.parametrize(
    ('text', 'meant'),
    [
        ('batch_size=2', 'train_dataloader.batch_size'),
        ('lr=0.1', 'optim_wrapper.optimizer.lr'),
        ('max_epoch=2', 'train_cfg.max_epochs'),
        ('worksdir=x', 'work_dir'),
        ('default_hooks.checkpoint.intervall=1', 'default_hooks.checkpoint.interval'),
        ('default_hooks.chekpoint.interval=1', 'default_hooks.checkpoint.interval'),
        ('train_dataloader.bach_size=1', 'train_dataloader.batch_size'),
        ('train_dataloader.pinmemory=True', 'train_dataloader.pin_memory'),
        ('train_dataloader.dataset.per_sentense=True', 'train_dataloader.dataset.per_sentence'),
        ('train_dataloader.dataset.pipeline.2.scal=3', 'train_dataloader.dataset.pipeline.2.scale'),
        ('optim_wrapper.acumulative_counts=4', 'optim_wrapper.accumulative_counts'),
        ('optim_wrapper.optimizer.weight_decai=0', 'optim_wrapper.optimizer.weight_decay'),
        ('optim_wrapper.paramwise_cfg.norm_decay=0', 'optim_wrapper.paramwise_cfg.norm_decay_mult'),
        ('param_scheduler.1.endd=3', 'param_scheduler.1.end'),
        ('model.nek.channels=3', 'model.neck.channels'),
        ('model.neck.refin.type=MGFE', 'model.neck.refine.type'),
        ('model.text_encoder.config.hidden_sise=3', 'model.text_encoder.config.hidden_size'),
        ('model.data_preprocessor.tokenizer.max_token=3', 'model.data_preprocessor.tokenizer.max_tokens'),
        ('train_cfg.val_beginn=3', 'train_cfg.val_begin'),
        ('env_cfg.cudnn_bench=True', 'env_cfg.cudnn_benchmark'),
        ('randomness.deterministik=True', 'randomness.deterministic'),
        ('val_evaluator.per_sampl=x', 'val_evaluator.per_sample'),
    ],
)
def test_a_key_that_nothing_reads_with_the_nearest(text, meant):
    said = refusal(text)
    assert 'nothing reads this key; did you mean ' in said
    assert meant in said.split('did you mean ')[1].removesuffix('?').split(' or ')


def test_a_key_that_is_like_none_with_those_there_are():
    said = refusal('optim_wrapper.optimizer.momentum=0.9')
    assert 'optim_wrapper.optimizer has amsgrad, betas, ' in said and 'lr, ' in said


@pytest.mark.parametrize(
    ('text', 'places'),
    [
        ('resize.scale=(128,128)', ['train_dataloader.dataset.pipeline.2.scale', 'pipeline.0.transforms.1.scale']),
        ('dataset.split=val', ['train_dataloader.dataset.split', 'val_dataloader.dataset.split']),
        ('pipeline=1', ['train_dataloader.dataset.pipeline']),
        ('channels=1,2', ['model.neck.channels', 'model.decode_head.channels']),
    ],
)
def test_a_variable_that_was_copied_with_its_places(text, places):
    said = refusal(text)
    assert (
        'is a variable of the config, whose value was copied when the config was read; set it where it went: ' in said
    )
    assert all(place in said for place in places)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('param_scheduler.5.end=3', 'no 5 in param_scheduler; there are 0 to 1'),
        ('custom_hooks.0.type=EMAHook', 'no 0 in custom_hooks; there are none'),
        ('test_cfg.splits.0=val', 'test_cfg.splits is a list; set it as a whole'),
        ('model.decode_head.hidden.x=3', 'model.decode_head.hidden is 32, which has nothing below it'),
        ('default_hooks.early.patience=3', 'default_hooks has checkpoint, '),
    ],
)
def test_places_that_are_not_there(text, reason):
    assert reason in refusal(text)


@pytest.mark.parametrize(
    'text',
    ['load_from=/x y.pth', 'resume=True', 'work_dir=x', 'experiment_name=x', 'find_unused_parameters=True']
    + ['train_dataloader.pin_memory=True', 'train_dataloader.num_batch_per_epoch=3', 'optim_wrapper.dtype=bfloat16']
    + ['train_dataloader.dataset.apart_from=val,', 'val_evaluator.per_sample=out', 'train_cfg.val_begin=3']
    + ['optim_wrapper.accumulative_counts=4', 'optim_wrapper.optimizer.amsgrad=True', 'model.neck.weigh=None']
    + ['optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mult=0.1', 'optim_wrapper.paramwise_cfg.bias_lr_mult=2']
    + ['model.text_encoder.config.layer_norm_eps=1e-5', 'model.compile=True', 'param_scheduler.1.last_step=3']
    + ['default_hooks.early.type=EarlyStoppingHook', 'default_hooks.checkpoint.published_keys=meta']
    + ['default_hooks.logger.priority=LOW', 'env_cfg.dist_cfg.timeout=1800', 'randomness.deterministic=True'],
)
def test_arguments_that_a_config_leaves_away(text):
    node = load_config(TINY, [text])
    key, written = text.split('=', 1)
    for part in key.split('.'):
        node = node[int(part) if part.isdigit() else part]
    assert node == value(written)


def test_a_new_hook_with_its_settings():
    texts = ['default_hooks.early.type=EarlyStoppingHook', 'default_hooks.early.monitor=oIoU']
    assert load_config(TINY, texts).default_hooks.early == dict(type='EarlyStoppingHook', monitor='oIoU')


def test_a_part_that_hands_on_what_it_does_not_know():
    """Names of its bases are known; others are taken, unless they are near to one."""

    @HOOKS.register_module(force=True)
    class Open(Hook):
        def __init__(self, every: int = 1, **settings):
            pass

    own = ['default_hooks.own.type=Open']
    assert load_config(TINY, [*own, 'default_hooks.own.anything=1']).default_hooks.own.anything == 1
    with pytest.raises(ValueError, match=r'did you mean default_hooks\.own\.every\?'):
        load_config(TINY, [*own, 'default_hooks.own.evry=1'])


# Kinds


@pytest.mark.parametrize('key', ['test_cfg.splits', 'test_cfg.shuffled', 'train_dataloader.dataset.apart_from'])
def test_a_single_word_is_a_list_of_one(key):
    node = load_config(TINY, [f'{key}=val'])
    for part in key.split('.'):
        node = node[part]
    assert node == ('val',)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('train_cfg.max_epochs=abc', 'expected a whole number, 1 or more, not '),
        ('train_cfg.max_epochs=2.5', 'expected a whole number, 1 or more, not '),
        ('train_cfg.max_epochs=None', 'expected a whole number, 1 or more, not '),
        ('train_cfg.max_epochs=1,2', 'expected a whole number, 1 or more, not '),
        ('train_dataloader.batch_size=two', 'or more, not two'),
        ('optim_wrapper.optimizer.lr=fast', 'not a text'),
        ('resume=yes', 'expected True or False, not a text'),
        ('model.neck=5', 'expected settings, of which each has a key of its own, such as model.neck.type'),
        ('train_dataloader=x', 'expected settings, of which each has a key of its own'),
        ('train_dataloader.dataset.pipeline.2.scale=abc', 'expected a list such as (64, 64), not a text'),
        ('train_dataloader.dataset.pipeline=x', 'expected a list such as '),
        ('data_root=/a,b', 'needs quotes: data_root=\'"/a,b"\''),
        ('train_dataloader.dataset.ann_folder=a,b', 'needs quotes: train_dataloader.dataset.ann_folder='),
    ],
)
def test_a_value_of_another_kind(text, reason):
    assert reason in refusal(text)


def test_kinds_that_are_near_enough():
    texts = [
        'train_cfg.max_epochs=1e1',
        'model.loss.focal_weight=0.5',
        'optim_wrapper.optimizer.lr=1',
        'data_root=2017',
    ]
    cfg = load_config(TINY, [*texts, 'default_hooks.checkpoint.save_best=oIoU,mIoU'])
    assert cfg.train_cfg.max_epochs == 10 and isinstance(cfg.train_cfg.max_epochs, int)
    assert cfg.model.loss.focal_weight == 0.5 and cfg.optim_wrapper.optimizer.lr == 1
    assert cfg.train_dataloader.dataset.data_root == '2017', 'a folder may be called by a number'
    assert cfg.default_hooks.checkpoint.save_best == ['oIoU', 'mIoU']


def test_options_of_python_are_checked_too():
    with pytest.raises(ValueError, match=r'batch_size: nothing reads this key; did you mean train_dataloader'):
        load_config(TINY, {'batch_size': 2})


def test_settings_as_a_config_has_them():
    cfg = load_config(
        TINY, ["custom_hooks=[dict(type='EMAHook', momentum=1e-3)]", 'default_hooks.logger={"interval": 5}']
    )
    assert cfg.custom_hooks == [dict(type='EMAHook', momentum=1e-3)] and cfg.default_hooks.logger.interval == 5
    for text in ('[dict(type=EMAHook)]', "dict(type=open('x'))", '{', "[dict(type='EMAHook'"):
        with pytest.raises(ValueError, match=r'--cfg-options custom_hooks=.*expected settings as in a config'):
            load_config(TINY, [f'custom_hooks={text}'])


@pytest.mark.parametrize('order', [1, -1])
def test_settings_are_replaced_in_any_order(order):
    options = ['model.loss.type=WeightedCrossEntropyLoss', 'model.loss._delete_=True'][::order]
    assert load_config(TINY, options).model.loss == dict(type='WeightedCrossEntropyLoss')


def test_folders_that_look_like_other_values():
    for name in ('true', '2014'):
        assert load_config(TINY, [f'data_root={name}']).data_root == name
    with pytest.raises(ValueError, match='data_root=None: expected a text, not None'):
        load_config(TINY, ['data_root=None'])


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('train_dataloader.batch_size=8.5', 'expected a whole number, 1 or more'),
        ('train_dataloader.batch_size=[8]', 'expected a whole number, 1 or more'),
        ('train_dataloader.batch_size=None', 'expected a whole number, 1 or more'),
        ('train_cfg.max_epochs=0', 'expected a whole number, 1 or more'),
        ('model.data_preprocessor.tokenizer.max_tokens=1', 'expected a whole number, 3 or more'),
        ('model.data_preprocessor.mean=1', 'expected a list such as'),
        ('launcher=pytorch', 'an option of its own, --launcher'),
        ('custom_imports.imports=nosuch', 'name them in a config file'),
    ],
)
def test_numbers_and_lists_that_cannot_be_meant(option, said):
    with pytest.raises(ValueError, match=said):
        load_config(TINY, [option])


def test_numbers_that_are_whole():
    cfg = load_config(
        TINY, ['train_dataloader.batch_size=8.0', 'train_cfg.max_epochs=1e1', 'model.neck.refine.pool_size=2']
    )
    assert cfg.train_dataloader.batch_size == 8 and isinstance(cfg.train_dataloader.batch_size, int)
    assert cfg.train_cfg.max_epochs == 10 and cfg.model.neck.refine.pool_size == 2
