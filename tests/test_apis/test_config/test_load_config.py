"""Configs as tools read them."""

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mgfe_ris.apis import find_config, input_size, load_config, weights_in
from mgfe_ris.apis.config import CONFIG_ROOT, last_checkpoint_in

REPO = Path(__file__).parents[3]
CONFIGS = sorted((REPO / 'configs').glob('[!_]*/*.py'))
TINY = REPO / 'configs/mgfe_ris/mgfe-ris_tiny_refshapes.py'
PAPER = REPO / 'configs/mgfe_ris/mgfe-ris_swin-base_refcoco.py'


def dicts(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from dicts(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)


def datasets(cfg) -> list[dict]:
    loaders = (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader)
    return [node for node in dicts(list(loaders)) if node.get('type') == 'ReferringDataset']


def test_by_path_and_by_name():
    by_path = load_config(TINY)
    assert by_path.model.type == 'ReferringSegmentor'
    for name in (str(TINY), 'mgfe-ris_tiny_refshapes', 'mgfe-ris_tiny_refshapes.py', Path('mgfe-ris_tiny_refshapes')):
        assert load_config(name).to_dict() == by_path.to_dict()


def test_ours_are_those_of_the_repository():
    assert CONFIGS
    for path in CONFIGS:
        assert find_config(path.stem).resolve() == path.resolve(), 'two of ours of one name?'
    assert CONFIG_ROOT.resolve() == (REPO / 'configs').resolve()


def test_a_misspelt_name_with_those_that_are_near():
    with pytest.raises(FileNotFoundError, match=r'Did you mean mgfe-ris_tiny_refshapes or .*\?$') as error:
        load_config('mgfe-ris_tiny_refshape')
    assert 'swin' not in str(error.value)


@pytest.mark.parametrize('name', ['configs/nowhere.py', ''])
def test_an_unknown_name_with_those_there_are(name):
    with pytest.raises(FileNotFoundError, match='no such config file') as error:
        load_config(name)
    assert all(path.stem in str(error.value) for path in CONFIGS)
    assert 'default_runtime' not in str(error.value)


def test_options():
    cfg = load_config(TINY, {'train_cfg.max_epochs': 77, 'model.loss.focal_weight': 0.5})
    assert cfg.train_cfg.max_epochs == 77 and cfg.model.loss.focal_weight == 0.5
    assert load_config(TINY).train_cfg.max_epochs != 77


def test_options_are_left_as_they_are():
    options = {'train_cfg.max_epochs': 3}
    load_config(TINY, options, data_root='x')
    assert options == {'train_cfg.max_epochs': 3}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_data_root_reaches_every_data_set(path):
    for cfg in (load_config(path, {'data_root': '/else/where'}), load_config(path, data_root='/else/where')):
        assert cfg.data_root == '/else/where'
        assert len(datasets(cfg)) == (5 if 'mixed' in path.stem else 3)
        assert {dataset['data_root'] for dataset in datasets(cfg)} == {'/else/where'}
    assert {dataset['data_root'] for dataset in datasets(load_config(path))} == {load_config(path).data_root}


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_from_scratch_names_nothing_of_a_hub(path):
    cfg = load_config(path, from_scratch=True)
    for node in dicts(list(cfg.to_dict().values())):  # variables at the top are read by nobody
        assert node.get('pretrained') is None and node.get('type') != 'Pretrained', node
        strings = [value for value in node.values() if isinstance(value, str)]
        assert not [s for s in strings if '://' in s or s.startswith(('bert-', 'openai/', 'FacebookAI/'))], node


def test_the_paper_names_what_it_starts_from():
    named = [node for node in dicts(load_config(PAPER).model.to_dict()) if node.get('pretrained')]
    assert len(named) == 2, 'tokenizer and text encoder'
    assert load_config(PAPER).model.encoder.init_cfg.type == 'Pretrained'


def test_from_scratch_keeps_other_initialisations(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(
        f'_base_ = {str(TINY)!r}\n'
        "model = dict(encoder=dict(init_cfg=[dict(type='Kaiming', layer='Conv2d'),"
        " dict(type='Pretrained', checkpoint='torchvision://resnet18')]),"
        " decode_head=dict(init_cfg=dict(type='Normal', layer='Conv2d', std=0.1)))\n"
    )
    model = load_config(own, from_scratch=True).model
    assert [step.type for step in model.encoder.init_cfg] == ['Kaiming']
    assert model.decode_head.init_cfg.type == 'Normal'


# JSON configs travel with weights


def json_config(folder: Path, **changes) -> Path:
    path = folder / 'config.json'
    path.write_text(json.dumps({**load_config(TINY).to_dict(), **changes}))
    return path


def test_a_json_config_is_read_as_the_python_one(tmp_path):
    """But for its variables, such as ``channels``, which nothing reads."""
    ours, theirs = load_config(json_config(tmp_path)).to_dict(), load_config(TINY).to_dict()
    assert theirs.keys() - ours.keys() <= {
        'words',
        'pipeline',
        'channels',
        'dataset',
        'map_sizes',
        'meta_keys',
        'resize',
        'test_pipeline',
        'train_pipeline',
    }
    read = {key: value for key, value in theirs.items() if key in ours}
    assert json.dumps(ours, sort_keys=True) == json.dumps(read, sort_keys=True)


def test_a_json_config_names_a_sentence(tmp_path):
    """Of both text encoders."""
    text = load_config(TINY).model.text_encoder
    for cfg in (dict(text, sentence='mean'), dict(type='CLIPTextTower', width=64, sentence='end')):
        path = json_config(tmp_path, model=dict(load_config(TINY).model.to_dict(), text_encoder=cfg))
        assert load_config(path).model.text_encoder.sentence == cfg['sentence']


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(model=dict(type='os.system', command='touch ran')), 'os.system'),
        (dict(train_dataloader=dict(dataset=dict(pipeline=[dict(type='subprocess.Popen')]))), 'subprocess.Popen'),
        (dict(custom_imports=dict(imports=['spy'])), 'spy'),
        (dict(custom_imports=dict(imports='spy')), 'spy'),
        (dict(custom_imports='spy'), 'spy'),
        (dict(custom_imports=['spy']), 'spy'),
        (dict(custom_imports=dict(imports=5)), '5'),
        # stock parts that are registered, and unpickle a file that their arguments name
        (dict(model=dict(loss=dict(type='CrossEntropyLoss', class_weight='w.pkl'))), 'CrossEntropyLoss'),
        (dict(model=dict(init_cfg=dict(type='Pretrained', checkpoint='w.pth'))), 'Pretrained'),
        (dict(model=dict(type='ReferringSegmentor', _scope_='os')), 'os'),
        (dict(model=dict(type=['os.system'])), "\\['os.system'\\]"),
    ],
    ids=str,
)
def test_a_json_config_runs_nothing(tmp_path, monkeypatch, changes, named):
    (tmp_path / 'spy.py').write_text('open("ran", "w").close()\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=rf'config\.json asks for code beyond the parts of mgfe_ris: {named}'):
        load_config(json_config(tmp_path, **changes))
    assert not Path('ran').exists()


@pytest.mark.parametrize(
    ('changes', 'said'),
    [
        ({'visualizer.vis_backends.0.config_save_file': '/home/me/settings.py'}, 'where to write, by config_save_file'),
        ({'visualizer.save_dir': '/home/me'}, 'where to write, by save_dir'),
        ({'test_evaluator.per_sample': '/home/me'}, 'where to write, by per_sample'),
        ({'default_hooks.checkpoint.out_dir': '/home/me'}, 'where to write, by out_dir'),
        ({'default_hooks.checkpoint.filename_tmpl': '../../{}.pth'}, 'where to write, by filename_tmpl'),
        ({'custom_hooks': [dict(type='LogitsHook', folder='/home/me')]}, 'where to write, by folder'),
        ({'work_dir': '/home/me'}, 'where to write, by work_dir'),
        ({'load_from': 'http://h/x.pth'}, 'files of another place, by load_from'),
        ({'model.compile': {'options': {'cpp.cxx': ['evil.sh']}}}, 'options to a compiler, by compile'),
        ({'model.text_encoder.pretrained': 'org/repo'}, 'files of another place, by pretrained'),
        ({'model.text_encoder.pretrained': '{{ fileDirname }}/../x'}, 'files of another place, by pretrained'),
        (
            {'model.text_encoder.config.attn_implementation': 'org/repo'},
            'attn_implementation=org/repo for the text encoder',
        ),
        ({'model.text_encoder.config.auto_map': {}}, 'auto_map=.* not known to be harmless'),
        ({'model.text_encoder.config.num_labels': 10**9}, 'num_labels=.* not known to be harmless'),
        ({'model.text_encoder.config.pruned_heads': {}}, 'pruned_heads=.* not known to be harmless'),
        ({'model.text_encoder.config.model_type': 'timm_backbone'}, 'model_type=timm_backbone'),
        ({'model.text_encoder.config.hidden_act': 'os.system'}, 'hidden_act=os.system'),
        ({'model.text_encoder.config._attn_implementation': 'flash_attention_2'}, '_attn_implementation=flash'),
        ({'model.text_encoder.config.hidden_size': float('nan')}, 'hidden_size nan, which is no size'),
        ({'model.text_encoder.config.vocab_size': 2**60}, 'vocab_size .*, which is no size'),
        ({'model.encoder.unknown': 3}, 'has unknown in ResNetEncoder'),
        ({'model.train_cfg': 3}, 'has train_cfg in ReferringSegmentor'),
        ({'model.neck.init_cfg': dict(type='Kaiming', checkpoint='x')}, 'has checkpoint in Kaiming'),
        ({'visualizer.vis_backends': [dict(type='LocalVisBackend', anything=1)]}, 'has anything in LocalVisBackend'),
        ({'default_hooks.checkpoint.published_keys': ['meta']}, 'has published_keys in CheckpointHook'),
        ({'default_hooks.logger.out_suffix': '.py'}, 'has out_suffix in LoggerHook'),
        ({'default_hooks.logger.log_dir': None, 'default_hooks.logger.keep_local': False}, 'has keep_local'),
        ({'optim_wrapper.constructor': 'X'}, 'has constructor in OptimWrapper'),
        ({'optim_wrapper.optimizer.capturable': True}, 'has capturable in AdamW'),
        ({'test_dataloader.worker_init_fn': dict(type='LN')}, 'has worker_init_fn in test_dataloader'),
        ({'test_dataloader.num_workers': 10**6}, 'starts processes, by num_workers'),
        ({'test_dataloader.dataset.metainfo': '/etc/hostname'}, 'reads files of another place, by metainfo'),
        ({'test_dataloader.batch_size': 10**9}, 'very much memory, by batch_size'),
        ({'test_dataloader.prefetch_factor': 10**6}, 'very much memory, by prefetch_factor'),
        ({'model.neck.refine.pool_size': [8, 4, 2, 10**6]}, 'very much memory, by pool_size'),
        ({'env_cfg.dist_cfg.init_method': 'file:///x'}, 'has init_method in dist_cfg'),
        ({'env_cfg.resource_limit': 1}, 'has resource_limit in env_cfg'),
        ({'test_evaluator.prefix': '../../up'}, 'names another place, by prefix'),
        ({'test_evaluator.prefix': '/home/me'}, 'names another place, by prefix'),
        ({'test_evaluator.prefix': '{{ fileDirname }}/x'}, 'names another place, by prefix'),
        ({'default_hooks.checkpoint.save_best': 'C:\\x'}, 'names another place, by save_best'),
        ({'test_evaluator.collect_dir': 'here'}, 'where to write, by collect_dir'),
        ({'data_root': 'http://h/data'}, 'names another place, by data_root'),
        ({'test_dataloader.dataset.data_prefix': dict(img_path='s3://b')}, 'names another place, by img_path'),
        ({'default_scope': 'antigravity'}, 'other code, by default_scope'),
        ({'launcher': 'slurm'}, 'starts processes, by launcher'),
        ({'compile': dict(backend='x')}, 'options to a compiler, by compile'),
        ({'model_wrapper_cfg': {}}, 'has model_wrapper_cfg in it'),
        ({'log_processor': dict(custom_cfg=[])}, 'has custom_cfg in log_processor'),
        ({'runner_type': 'Runner'}, 'has runner_type in it'),
        ({'strategy': dict(type='LN')}, 'has strategy in it'),
        ({'test_dataloader.dataset.pipeline.1.backend_args': dict(backend='http')}, 'own choice, by backend_args'),
    ],
    ids=str,
)
def test_a_json_config_writes_fetches_and_chooses_nothing(tmp_path, changes, said):
    path = json_config(tmp_path)
    raw = json.loads(path.read_text())
    for key, value in changes.items():
        *parts, last = key.split('.')
        node = raw
        for part in parts:
            node = node[int(part)] if part.isdigit() else node[part]
        node[last] = value
    path.write_text(json.dumps(raw))
    with pytest.raises(
        ValueError, match=rf'config\.json: a config in JSON may come from anybody, and this one .*{said}'
    ):
        load_config(path)


@pytest.mark.parametrize(
    'changes', [{'compile': True}, {'compile': False}, {'text': {'attn_implementation': 'sdpa'}}, {}], ids=str
)
def test_a_json_config_may_say_how_to_compute(tmp_path, changes):
    path = json_config(tmp_path)
    raw = json.loads(path.read_text())
    raw['model'].update({key: value for key, value in changes.items() if key != 'text'})
    raw['model']['text_encoder']['config'].update(changes.get('text', {}))
    path.write_text(json.dumps(raw))
    assert load_config(path).model


def test_variables_of_a_json_config_are_not_read(tmp_path):
    cfg = load_config(json_config(tmp_path, filename='x', text='y', pipeline=[dict(anything='http://h/x')], mine=3))
    assert not cfg._cfg_dict.keys() & {'filename', 'text', 'pipeline', 'mine'}


@pytest.mark.parametrize('key', ['origin', 'published'])
def test_what_a_json_config_says_of_itself(tmp_path, key):
    assert load_config(json_config(tmp_path, **{key: {'paper': 'https://arxiv.org/abs/1', 'x': '/y'}}))[key]


def test_a_json_config_may_import_what_its_reader_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'spy', types.ModuleType('spy'))
    assert load_config(json_config(tmp_path, custom_imports=dict(imports=['mgfe_ris', 'spy']))).model


def test_a_file_of_another_kind_is_no_config(tmp_path):
    (tmp_path / 'photo.jpg').touch()
    with pytest.raises(ValueError, match=r'photo\.jpg: no config, which ends in \.py or \.json'):
        load_config(tmp_path / 'photo.jpg')


@pytest.mark.parametrize('text', ['{}', '[]', '{"architectures": ["BertModel"]}', '{"model": 3}'])
def test_a_json_of_something_else_is_named(tmp_path, text):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(ValueError, match=r'config\.json: no config of a model of ours'):
        load_config(tmp_path)


def test_a_lone_python_file_of_a_folder_is_not_run(tmp_path, monkeypatch):
    """A folder from a hub may hold a modeling.py; only one beside what training wrote is a config."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'modeling.py').write_text('open("ran", "w").close()\n')
    for name in ('', 'model.safetensors', 'best_oIoU.pth'):
        if name:
            (tmp_path / name).write_text('')
        with pytest.raises(FileNotFoundError, match=r'expected config\.json'):
            load_config(tmp_path)
    assert not Path('ran').exists()
    (tmp_path / 'model.safetensors').unlink()
    assert load_config(tmp_path).filename == str(tmp_path / 'modeling.py'), 'a work dir'


def test_imports_of_nothing(tmp_path):
    assert load_config(json_config(tmp_path, custom_imports=[])).model


@pytest.mark.parametrize(
    'text',
    ['', '{"model": ', '<html>', '[' * 100_000, '{"model": {}, "x": ' + '[' * 60 + ']' * 60 + '}'],
    ids=['empty', 'half', 'page', 'deep', 'too deep'],
)
def test_a_broken_json_config_is_named(tmp_path, text):
    (tmp_path / 'config.json').write_text(text)
    with pytest.raises(ValueError, match=r'config\.json: no whole JSON file'):
        load_config(tmp_path / 'config.json')


def test_a_config_that_imports_what_is_not_there_is_named(tmp_path):
    config = tmp_path / 'own.py'
    config.write_text("custom_imports = dict(imports=['mgfe_ris', 'no_such_module'])\n")
    with pytest.raises(ValueError, match=r'own\.py: Failed to import no_such_module; put the folder .* on PYTHONPATH'):
        load_config(config)


# What training leaves


def work_dir(folder: Path, *files: str, last: str | None = None) -> Path:
    """With checkpoints of as many steps as the number in a name says."""
    folder.mkdir()
    for name in files:
        steps = int(re.findall(r'\d+', name)[-1]) if re.search(r'\d', name) else 0
        torch.save(dict(meta=dict(iter=steps), message_hub=dict(runtime_info={})), folder / name)
    if last:
        (folder / 'last_checkpoint').write_text(f'/where/it/was/then/{last}')
    return folder


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_weights_of_a_training_are_the_best_else_the_last(tmp_path):
    epochs = ('epoch_1.pth', 'epoch_2.pth')
    validated = work_dir(tmp_path / 'validated', *epochs, 'best_oIoU_epoch_1.pth', last='epoch_2.pth')
    assert weights_in(validated) == validated / 'best_oIoU_epoch_1.pth'
    assert last_checkpoint_in(validated) == validated / 'epoch_2.pth'
    never = work_dir(tmp_path / 'never', *epochs, last='epoch_2.pth')
    assert weights_in(never) == weights_in(str(never)) == never / 'epoch_2.pth', 'by its name, in the folder of today'
    exported = work_dir(tmp_path / 'exported', *epochs, 'model.safetensors', last='epoch_2.pth')
    assert weights_in(exported) == exported / 'model.safetensors'
    assert weights_in('a.pth') == 'a.pth'


def test_of_two_best_the_newest_whole_one(tmp_path):
    """A training that was killed when the new one was written left the former."""
    best = [f'best_oIoU_epoch_{epoch}.pth' for epoch in (9, 10)]
    folder = work_dir(tmp_path / 'two', 'epoch_9.pth', 'epoch_10.pth', *best)
    assert weights_in(folder) == folder / best[1]
    cut(folder / best[1])
    assert weights_in(folder) == folder / best[0]
    cut(folder / best[0])
    assert weights_in(folder) == folder / 'epoch_10.pth'
    cut(folder / 'epoch_10.pth')
    assert weights_in(folder) == folder / 'epoch_9.pth'
    cut(folder / 'epoch_9.pth')
    with pytest.raises(ValueError, match=r'two: none of epoch_9\.pth, epoch_10\.pth is a whole checkpoint'):
        weights_in(folder)


@pytest.mark.parametrize(
    'last', [None, 'gone.pth', r'C:\runs\gone.pth', '../other/epoch_20.pth', '', '/epoch_9.pth', '\xff']
)
def test_the_newest_whatever_is_called_the_last(tmp_path, last):
    folder = work_dir(tmp_path / 'moved', 'epoch_9.pth', 'epoch_10.pth', 'other_11.pth', 'epoch_12.pth.part')
    work_dir(tmp_path / 'other', 'epoch_20.pth')
    if last is not None:
        (folder / 'last_checkpoint').write_text(last, encoding='latin-1')
    assert last_checkpoint_in(folder) == folder / 'epoch_10.pth'
    (folder / 'last_checkpoint').write_text(r'C:\runs\other_11.pth')
    assert last_checkpoint_in(folder) == folder / 'other_11.pth', 'written on Windows, with a name of its own'


def test_what_another_training_left_in_the_folder_comes_last(tmp_path):
    folder = work_dir(tmp_path / 'again', 'epoch_9.pth')
    info = dict(runtime_info=dict(started=1e9))
    torch.save(dict(meta=dict(iter=1), message_hub=info), folder / 'epoch_1.pth')
    assert last_checkpoint_in(folder) == folder / 'epoch_1.pth'


def test_weights_that_are_not_there_are_named(tmp_path):
    lost = work_dir(tmp_path / 'lost', last='epoch_2.pth')
    with pytest.raises(FileNotFoundError, match=r'lost/epoch_2\.pth: no such file, though last_checkpoint names it'):
        weights_in(lost)
    with pytest.raises(FileNotFoundError, match=r'expected one file best_\*\.pth, found \[\]'):
        weights_in(work_dir(tmp_path / 'unknown', 'other.pth'))
    with pytest.raises(FileNotFoundError, match=r'found \[.best_a\.pth., .best_b\.pth.\]; name the one you mean'):
        weights_in(work_dir(tmp_path / 'two', 'best_a.pth', 'best_b.pth', last='epoch_2.pth'))


def pure_python(folder: Path) -> Path:
    """A config as mmengine's pure Python style has it: classes in the place of names, nothing inherited."""
    path = folder / 'pure.py'
    path.write_text(
        'from mmcv.transforms import Resize\n'
        'from mmengine.optim import OptimWrapper\n'
        'from mmseg.datasets.transforms import PackSegInputs\n'
        'from torch.optim import AdamW\n'
        'from mgfe_ris.datasets import ReferringDataset\n'
        'from mgfe_ris.datasets.transforms import LoadPhoto, OncePerPhoto\n'
        'photo = [dict(type=LoadPhoto), dict(type=Resize, scale=(64, 32))]\n'
        'steps = [dict(type=OncePerPhoto, transforms=photo), dict(type=PackSegInputs)]\n'
        "test_dataloader = dict(dataset=dict(type=ReferringDataset, data_root='data/x', pipeline=steps))\n"
        'optim_wrapper = dict(type=OptimWrapper, optimizer=dict(type=AdamW, lr=1e-3))\n'
    )
    return path


def test_a_config_in_pure_python_reads_as_one_with_names(tmp_path):
    cfg = load_config(pure_python(tmp_path), ['data_root=/else where', 'optim_wrapper.optimizer.lr=0.5'])
    dataset = cfg.test_dataloader.dataset
    assert (dataset.type, dataset.data_root) == ('ReferringDataset', '/else where')
    assert dataset.pipeline[0].transforms[0].type == 'LoadPhoto' and dataset.pipeline[1].type == 'PackSegInputs'
    assert cfg.optim_wrapper == dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.5))
    assert input_size(cfg) == (32, 64) and cfg.default_scope == 'mmseg'
    (tmp_path / 'dumped.py').write_text(cfg.pretty_text)
    assert load_config(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()
    assert json.dumps(cfg.to_dict())
    with pytest.raises(ValueError, match=r'did you mean optim_wrapper\.optimizer\.lr'):
        load_config(pure_python(tmp_path), ['optim_wrapper.optimizer.l=0.5'])


def test_no_workers_need_no_second_option():
    texts = [f'{name}_dataloader.num_workers=0' for name in ('train', 'val', 'test')]
    cfg = load_config(TINY, [*texts, 'train_dataloader.prefetch_factor=4'])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.num_workers == 0 and not loader.persistent_workers and 'prefetch_factor' not in loader
    assert load_config(TINY).train_dataloader.persistent_workers


def test_one_split_as_a_word_in_a_config(tmp_path):
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = {str(TINY)!r}\ntest_cfg = dict(splits='val', shuffled='val')\n")
    cfg = load_config(own)
    assert cfg.test_cfg.splits == ('val',) and cfg.test_cfg.shuffled == ('val',)


def test_the_size_of_what_a_model_gets(tmp_path):
    assert input_size(load_config(PAPER)) == (480, 480), 'inside of OncePerPhoto'
    assert input_size(load_config(TINY)) == (64, 64), 'on its own'
    scale = 'test_dataloader.dataset.pipeline.0.transforms.1.scale'
    assert input_size(load_config(PAPER, {scale: (640, 320)})) == (320, 640), 'height first'
    with pytest.raises(ValueError, match=r'expected one Resize with scale=\(width, height\).*, got scales \[480\]'):
        input_size(load_config(PAPER, {scale: 480}))


def test_several_data_sets_are_tested_at_one_size():
    cfg = load_config(TINY)
    one = cfg.test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[one, dict(type='RepeatDataset', dataset=one)])
    assert input_size(cfg) == (64, 64)
    other = load_config(PAPER).test_dataloader.dataset
    cfg.test_dataloader.dataset = dict(type='ConcatDataset', datasets=[one, other])
    with pytest.raises(ValueError, match=r'resize photos differently, to scales \[\[\(64, 64\)\], \[\(480, 480\)\]\]'):
        input_size(cfg)
