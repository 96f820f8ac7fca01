"""A model as a folder: written, carried elsewhere, opened again, and what is said of a broken one."""

import copy
import json
import os
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from huggingface_hub import CommitOperationAdd
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS
from PIL import Image
from safetensors import safe_open
from transformers import BertConfig, BertModel, CLIPTokenizerFast, RobertaTokenizerFast

from mgfe_ris.apis import RISInferencer, build_model, config_in, load_config, load_model, save_folder, weights_in

pytestmark = pytest.mark.usefixtures('one_thread')
CONFIGS = Path(__file__).parents[3] / 'configs'
SENTENCES = ['red ring on the left', 'The RED ring, on the left!', 'grün 猫', 'zzz ' * 30]
SWIN = {
    'model.encoder.embed_dims': 8,
    'model.encoder.depths': (1, 2, 1, 1),
    'model.encoder.num_heads': (1, 1, 2, 2),
    'model.encoder.window_size': 4,
    'model.neck.channels': (8, 16, 32, 64),
    'model.neck.text_channels': 16,
    'model.decode_head.channels': (8, 16, 32, 64),
    'model.text_encoder.config.hidden_size': 16,
    'model.text_encoder.config.intermediate_size': 16,
    'model.text_encoder.config.num_hidden_layers': 2,
    'model.text_encoder.config.num_attention_heads': 2,
    'model.text_encoder.config.vocab_size': 420,
    'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64),
}
KINDS = {
    'mgfe': ('mgfe_ris/mgfe-ris_tiny_refshapes.py', {}),
    'lavt': ('lavt/lavt_tiny_refshapes.py', {}),
    'roberta': ('mgfe_ris/mgfe-ris_swin-base_roberta_refcoco.py', SWIN),
    'clip': ('mgfe_ris/mgfe-ris_swin-base_clip_refcoco.py', SWIN),
}
FOUR = transformers.__version__.startswith('4.')
FILES = ['README.md', 'config.json', 'model.safetensors'] + [
    f'tokenizer/{name}' for name in ('special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json')
]


@pytest.fixture(scope='module')
def photo(tmp_path_factory) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp('photo') / 'photo.png'
    Image.fromarray(noise).resize((90, 60), Image.Resampling.BICUBIC).save(path)
    return path


def write_tokenizer(kind: str, folder: Path) -> Path:
    """A byte-pair tokenizer of the kind that the hub has: letters and two words."""
    letters = [chr(i) for i in range(33, 127)]
    merges = ['r e', 're d</w>' if kind == 'clip' else 're d', 'l e']
    ends = [f'{letter}</w>' for letter in letters] if kind == 'clip' else ['Ġ']
    marks = ['<|startoftext|>', '<|endoftext|>'] if kind == 'clip' else ['<s>', '<pad>', '</s>', '<unk>', '<mask>']
    words = [*marks, *letters, *ends, *(merge.replace(' ', '') for merge in merges)]
    folder.mkdir()
    (folder / 'vocab.json').write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / 'merges.txt').write_text('#version: 0.2\n' + '\n'.join(merges) + '\n')
    kinds = {'clip': CLIPTokenizerFast, 'roberta': RobertaTokenizerFast}
    # by place: the names of these arguments are others in transformers 5
    kinds[kind](str(folder / 'vocab.json'), str(folder / 'merges.txt')).save_pretrained(folder / 'saved')
    return folder / 'saved'


def make_model(kind: str, photo: Path, small_model: dict, tmp_path: Path) -> torch.nn.Module:
    """Random weights, none of them as it is made, and a mask that is neither empty nor full."""
    config, options = KINDS[kind]
    options = {**(options or small_model)}
    if kind in ('clip', 'roberta'):
        options['model.data_preprocessor.tokenizer.pretrained'] = str(write_tokenizer(kind, tmp_path / kind))
    torch.manual_seed(0)
    model = build_model(load_config(CONFIGS / config, options)).eval()
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) - (0.0 if name.endswith('running_var') else 0.5))
        elif name.endswith('num_batches_tracked'):
            value.fill_(2**40 + 1)
    sample = Compose(model.cfg.test_dataloader.dataset.pipeline)(
        dict(img_path=str(photo), sentences=SENTENCES[:1], sent_ids=[0])
    )
    with torch.no_grad():
        logits = model.test_step(pseudo_collate([sample]))[0].seg_logits.data
        model.decode_head.classify.bias[1] += (logits[0] - logits[1]).median()
    return model


@pytest.fixture(scope='module', params=KINDS)
def saved(request, photo, small_model, tmp_path_factory) -> tuple[torch.nn.Module, Path]:
    """A model of each kind, and its folder."""
    tmp_path = tmp_path_factory.mktemp(request.param)
    model = make_model(request.param, photo, small_model, tmp_path)
    return model, save_folder(model, tmp_path / 'new' / 'folder')


@pytest.fixture(scope='module')
def tiny(photo, small_model, tmp_path_factory) -> torch.nn.Module:
    return make_model('mgfe', photo, small_model, tmp_path_factory.mktemp('tiny'))


@pytest.fixture(scope='module')
def tiny_folder(tiny, tmp_path_factory) -> Path:
    return save_folder(tiny, tmp_path_factory.mktemp('saved') / 'tiny')


def assert_same_bits(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        other = theirs[name]
        assert (value.dtype, value.shape) == (other.dtype, other.shape), name
        assert value.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes(), name


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')}


# There and back


def test_the_model_comes_back_bit_for_bit(saved, photo):
    model, folder = saved
    state = model.state_dict()
    loaded = load_model(folder, device='cpu')
    assert not loaded.training
    assert_same_bits(state, loaded.state_dict())
    assert state['data_preprocessor.vocabulary'].dtype == torch.int64
    steps = [value for name, value in loaded.state_dict().items() if name.endswith('num_batches_tracked')]
    assert steps and all(value == 2**40 + 1 for value in steps)
    mask = RISInferencer(model)(photo, SENTENCES[0]).mask
    assert 0.02 < mask.mean() < 0.98, 'a mask that tells nothing'
    np.testing.assert_array_equal(RISInferencer(loaded)(photo, SENTENCES[0]).mask, mask)


def test_sentences_are_read_as_before(saved):
    model, folder = saved
    ours, theirs = (m.data_preprocessor.tokenizer for m in (model, load_model(folder, device='cpu')))
    assert type(ours.tokenizer) is type(theirs.tokenizer)
    assert (ours.max_tokens, ours.trim) == (theirs.max_tokens, theirs.trim)
    for before, after in zip(ours(SENTENCES), theirs(SENTENCES), strict=True):
        assert torch.equal(before, after)


def test_sentences_are_cleaned_as_before(clip_vocabulary, small_model, tmp_path):
    """As CLIP's authors do, of whose vocabulary file the folder knows nothing more."""
    tokenizer = {'model.data_preprocessor.tokenizer': dict(pretrained=str(clip_vocabulary), pad_id=0)}
    words = {'model.text_encoder.config.vocab_size': 49408}
    model = build_model(load_config('mgfe-ris_tiny_refshapes', {**small_model, **tokenizer, **words}))
    loaded = load_model(save_folder(model, tmp_path / 'folder'), device='cpu')
    assert 'cleaned as CLIP does' in (tmp_path / 'folder/README.md').read_text(encoding='utf-8')
    said = ['The man\u2019s \u201cred\u201d caf\u00c3\u00a9 &amp; ring', 'the man\'s "red" caf\u00e9 & ring']
    ids = loaded.data_preprocessor.tokenizer(said)[0]
    assert torch.equal(ids[0], ids[1])
    assert torch.equal(ids, model.data_preprocessor.tokenizer(said)[0])


def test_a_second_copy_is_the_same_as_the_first(saved, tmp_path):
    _, folder = saved
    again = save_folder(load_model(folder, device='cpu'), tmp_path / 'again')
    assert everything_in(folder) == everything_in(again)
    for name in everything_in(folder) - {'tokenizer/special_tokens_map.json'}:  # transformers has two ways to say it
        if (folder / name).is_file():
            assert (folder / name).read_bytes() == (again / name).read_bytes(), name


def test_the_files_of_a_folder(saved):
    model, folder = saved
    words = {'vocab.txt'} if (folder / 'tokenizer/vocab.txt').is_file() else {'vocab.json', 'merges.txt'}
    # of which transformers 5 writes none, for they say again what tokenizer.json says
    again = {f'tokenizer/{name}' for name in (*words, 'special_tokens_map.json')}
    expected = {*FILES, 'tokenizer'} | again
    assert everything_in(folder) == (expected if FOUR else expected - again)
    assert os.listdir(folder.parent) == ['folder'], 'something was left beside it'
    assert (config_in(folder), weights_in(folder)) == (folder / 'config.json', folder / 'model.safetensors')
    with safe_open(folder / 'model.safetensors', 'pt') as file:
        assert file.metadata() == {'format': 'pt'}
        assert set(file.keys()) == model.state_dict().keys()


def test_nothing_of_this_machine_is_in_the_texts(saved):
    _, folder = saved
    texts = [path for path in folder.rglob('*') if path.suffix in ('.json', '.txt', '.md')]
    assert len(texts) >= (6 if FOUR else 4)
    for path in texts:
        for place in (str(folder.parents[1]), str(CONFIGS.parent), '/tmp', str(Path.home()), 'http'):
            assert place not in path.read_text(), path
    config = json.loads((folder / 'config.json').read_text())
    assert config['model']['data_preprocessor']['tokenizer']['pretrained'] == '{{ fileDirname }}/tokenizer'
    assert not config['model']['text_encoder'].get('pretrained') and not config['model']['encoder'].get('init_cfg')
    assert not {'work_dir', 'load_from', 'resume', 'launcher'} & config.keys()
    assert not {'architectures', 'transformers_version', 'dtype'} & config['model']['text_encoder']['config'].keys()


def test_places_of_a_training_are_left_out(tiny, tmp_path, monkeypatch):
    places = dict(work_dir='/home/me/work', load_from='/home/me/a.pth', resume=True, launcher='pytorch')
    monkeypatch.setattr(tiny, 'cfg', copy.deepcopy(tiny.cfg))
    tiny.cfg.merge_from_dict(places)
    before = tiny.cfg.to_dict()
    text = (save_folder(tiny, tmp_path / 'out') / 'config.json').read_text()
    assert '/home/me' not in text and not places.keys() & json.loads(text).keys()
    assert tiny.cfg.to_dict() == before, "the model's own config stays as it is"


def test_the_data_root_of_a_training_is_left_out(small_model, tmp_path):
    model = build_model(load_config(CONFIGS / KINDS['mgfe'][0], small_model, data_root='/home/me/data'))
    assert '/home/me' not in (save_folder(model, tmp_path / 'out') / 'config.json').read_text()


@pytest.mark.parametrize('place', ['copied', 'with spaces and ü', 'deep/er/place'])
def test_a_folder_that_was_moved(tiny, tiny_folder, photo, tmp_path, place):
    there = shutil.copytree(tiny_folder, tmp_path / 'first')
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    moved = there.rename(tmp_path / place)
    loaded = load_model(moved, device='cpu')
    assert loaded.data_preprocessor.tokenizer.tokenizer.name_or_path == f'{moved}/tokenizer'
    assert_same_bits(tiny.state_dict(), loaded.state_dict())
    np.testing.assert_array_equal(
        RISInferencer(loaded)(photo, SENTENCES[0]).mask, RISInferencer(tiny)(photo, SENTENCES[0]).mask
    )


def test_a_folder_by_a_relative_path(tiny, tiny_folder, monkeypatch):
    monkeypatch.chdir(tiny_folder.parent)
    assert_same_bits(tiny.state_dict(), load_model('tiny', device='cpu').state_dict())
    monkeypatch.chdir(tiny_folder)
    assert_same_bits(tiny.state_dict(), load_model('.', device='cpu').state_dict())


def test_a_text_encoder_whose_architecture_is_its_files(small_model, tmp_path):
    """``text_encoder.config=None``: the folder holds what was read from the files, which are not there any more."""
    sizes = dict(vocab_size=420, hidden_size=32, intermediate_size=24, num_hidden_layers=1, num_attention_heads=4)
    BertModel(BertConfig(**sizes)).save_pretrained(tmp_path / 'bert')
    cfg = load_config(CONFIGS / KINDS['mgfe'][0], small_model)
    cfg.model.text_encoder = dict(type='HFTextEncoder', pretrained=str(tmp_path / 'bert'))
    model = build_model(cfg)
    folder = save_folder(model, tmp_path / 'out')
    shutil.rmtree(tmp_path / 'bert')
    assert str(tmp_path) not in (folder / 'config.json').read_text()
    assert_same_bits(model.state_dict(), load_model(folder, device='cpu').state_dict())


def test_weights_that_lie_channels_last(tiny, tiny_folder, photo, small_model, tmp_path):
    assert not all(value.is_contiguous() for value in tiny.state_dict().values()), 'the tiny model is channels-last'
    with safe_open(tiny_folder / 'model.safetensors', 'pt') as file:
        assert all(file.get_tensor(name).is_contiguous() for name in file.keys())  # noqa: SIM118 - it has no __iter__
    loaded = load_model(tiny_folder, device='cpu').state_dict()
    assert all(loaded[name].stride() == value.stride() for name, value in tiny.state_dict().items())


def test_the_safetensors_alone_with_the_config_it_was_trained_with(tiny, tiny_folder, small_model):
    loaded = load_model(CONFIGS / KINDS['mgfe'][0], tiny_folder / 'model.safetensors', 'cpu', small_model)
    assert_same_bits(tiny.state_dict(), loaded.state_dict())


def test_the_hub_takes_and_gives_it(tiny, tiny_folder, photo, tmp_path):
    """What the hub's client writes: links to files named by their hash, files of its own beside them."""
    (tmp_path / 'blobs').mkdir()
    snapshot = tmp_path / 'snapshots/0123abcd'
    for i, path in enumerate(path for path in sorted(tiny_folder.rglob('*')) if path.is_file()):
        name = str(path.relative_to(tiny_folder))
        assert CommitOperationAdd(name, path).path_in_repo == name and re.fullmatch(r'[\w./]+', name)
        shutil.copy(path, tmp_path / f'blobs/{i}')
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / name).symlink_to(tmp_path / f'blobs/{i}')
    (snapshot / '.cache/huggingface').mkdir(parents=True)
    for name in ('README.md', '.gitattributes', '.cache/huggingface/x.lock'):
        (snapshot / name).touch()
    assert_same_bits(tiny.state_dict(), load_model(snapshot, device='cpu').state_dict())
    masks = [RISInferencer(model)(photo, SENTENCES[0]).mask for model in (snapshot, tiny)]
    np.testing.assert_array_equal(*masks)


# Its config


def test_other_options(tiny_folder):
    options = {'test_dataloader.dataset.pipeline.2.scale': (32, 32), 'data_root': 'elsewhere'}
    cfg = load_model(tiny_folder, device='cpu', options=options).cfg
    assert tuple(cfg.test_dataloader.dataset.pipeline[2].scale) == (32, 32)
    assert cfg.train_dataloader.dataset.data_root == cfg.test_dataloader.dataset.data_root == 'elsewhere'
    with pytest.raises(ValueError, match=r'model\.safetensors does not fit the model of the config: .*decode_head'):
        load_model(tiny_folder, device='cpu', options={'model.decode_head.hidden': 24})


def test_data_sets_and_pipelines_of_its_config(tiny, tiny_folder, refshapes):
    """JSON has lists where the config has tuples."""
    before, after = tiny.cfg, load_config(config_in(tiny_folder), data_root=str(refshapes))
    assert isinstance(after.train_dataloader.dataset.pipeline[2].scale, list)
    for name in ('train', 'val', 'test'):
        ours, theirs = (cfg[f'{name}_dataloader'].dataset.copy() for cfg in (before, after))
        ours.data_root = str(refshapes)
        ours, theirs = DATASETS.build(ours), DATASETS.build(theirs)
        assert len(ours) == len(theirs) > 0
        np.random.seed(0)
        x = ours[0]
        np.random.seed(0)
        y = theirs[0]
        assert torch.equal(x['inputs'], y['inputs']) and x['inputs'].shape == (3, 64, 64)
        assert torch.equal(x['data_samples'].gt_sem_seg.data, y['data_samples'].gt_sem_seg.data)
        assert x['data_samples'].metainfo == y['data_samples'].metainfo
    as_lists = json.loads(json.dumps(before.to_dict()))
    for key in ('optim_wrapper', 'param_scheduler', 'test_cfg', 'test_evaluator', 'default_hooks', 'custom_hooks'):
        assert after.to_dict()[key] == as_lists[key]


def test_a_config_without_a_tokenizer(tiny, tiny_folder, small_model, tmp_path):
    """The preprocessor's default, the built-in vocabulary."""
    cfg = load_config(CONFIGS / KINDS['mgfe'][0], small_model)
    del cfg.model.data_preprocessor['tokenizer']
    model = build_model(cfg)
    loaded = load_model(save_folder(model, tmp_path / 'out'), device='cpu')
    assert_same_bits(model.state_dict(), loaded.state_dict())


# Where it is written


@pytest.mark.parametrize('there', ['file', 'file inside', 'folder inside', 'hidden file inside'])
def test_what_is_there_stays(tiny, tmp_path, there):
    out = tmp_path / 'out'
    if there == 'file':
        out.write_text('mine')
    else:
        (out / ('folder' if 'folder' in there else '.hidden' if 'hidden' in there else 'file')).mkdir(parents=True)
    before = everything_in(tmp_path)
    with pytest.raises(
        FileExistsError, match=r'out is (not empty; name another folder, or delete|a file; name a folder)'
    ):
        save_folder(tiny, out)
    assert everything_in(tmp_path) == before


def test_an_empty_folder_is_taken(tiny, tiny_folder, tmp_path):
    (tmp_path / 'out').mkdir()
    assert save_folder(tiny, str(tmp_path / 'out')) == tmp_path / 'out'
    assert everything_in(tmp_path / 'out') == everything_in(tiny_folder)
    assert (tmp_path / 'out').stat().st_mode & 0o777 == 0o777 & ~_umask(), 'others may read it as any other folder'


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_the_folder_one_stands_in(tiny, tiny_folder, tmp_path, monkeypatch):
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    save_folder(tiny, '.')
    assert everything_in(tmp_path / 'here') == everything_in(tiny_folder)


@pytest.mark.parametrize('fails', ['tokenizer', 'weights', 'config', 'card', 'interrupted'])
def test_nothing_is_left_of_what_failed(tiny, tmp_path, monkeypatch, fails):
    def fail(*_, **__):
        raise KeyboardInterrupt if fails == 'interrupted' else OSError('disk full')

    if fails == 'weights':
        monkeypatch.setattr('mgfe_ris.checkpoint_files.save_file', fail)
    elif fails == 'config':
        monkeypatch.setattr('mgfe_ris.apis.export.folder.json.dumps', fail)
    elif fails == 'card':
        monkeypatch.setattr('mgfe_ris.apis.export.folder.model_card', fail)
    else:
        monkeypatch.setattr(type(tiny.data_preprocessor.tokenizer.tokenizer), 'save_pretrained', fail)
    with pytest.raises((OSError, KeyboardInterrupt)):
        save_folder(tiny, tmp_path / 'out')
    assert not everything_in(tmp_path)


METRICS = {'metrics': {'val/oIoU': 12.344, 'testA/oIoU': 50.0}}


def test_results_go_into_the_card(tiny, tmp_path):
    (tmp_path / 'metrics.json').write_text(json.dumps(METRICS))
    for i, metrics in enumerate((METRICS, tmp_path / 'metrics.json', str(tmp_path / 'metrics.json'))):
        text = (save_folder(tiny, tmp_path / str(i), metrics) / 'README.md').read_text()
        assert '| val | 12.34 |' in text and '| testA | 50.00 |' in text
    assert 'None are recorded here' in (save_folder(tiny, tmp_path / 'none') / 'README.md').read_text()


@pytest.mark.parametrize('metrics', ['gone.json', {'val/oIoU': 12.3}])
def test_wrong_results_leave_nothing(tiny, tmp_path, metrics):
    metrics = tmp_path / metrics if isinstance(metrics, str) else metrics
    with pytest.raises((FileNotFoundError, ValueError), match=r'tools/test\.py --out writes'):
        save_folder(tiny, tmp_path / 'new/out', metrics)
    assert not everything_in(tmp_path)


# What is said of a broken one


def broken(folder: Path, to: Path, file: str, how: str) -> Path:
    shutil.copytree(folder, to)
    path = to / file
    if how == 'missing':
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if how == 'truncated' else b'<html>404</html>')
    return to


@pytest.mark.parametrize(
    ('file', 'how', 'error'),
    [
        pytest.param('config.json', 'missing', FileNotFoundError),
        ('config.json', 'truncated', ValueError),
        ('config.json', 'a page', ValueError),
        pytest.param('model.safetensors', 'missing', FileNotFoundError),
        ('model.safetensors', 'truncated', ValueError),
        ('model.safetensors', 'a page', ValueError),
        ('tokenizer', 'missing', OSError),
        pytest.param('tokenizer/tokenizer.json', 'truncated', (OSError, ValueError)),
        pytest.param('tokenizer/tokenizer.json', 'a page', (OSError, ValueError)),
        pytest.param('tokenizer/tokenizer_config.json', 'missing', (OSError, ValueError)),
        pytest.param('tokenizer/tokenizer_config.json', 'truncated', (OSError, ValueError)),
    ],
)
def test_a_broken_folder_is_named(tiny_folder, tmp_path, file, how, error):
    folder = broken(tiny_folder, tmp_path / 'broken', file, how)
    with pytest.raises(error) as caught:
        load_model(folder, device='cpu')
    text = str(caught.value)
    assert str(folder) in text and '\n' not in text and len(text) < 500
    assert file.split('/')[0] in text


@pytest.mark.parametrize(
    'change',
    [
        {'custom_imports': {'imports': ['evil']}},
        {'evil': {'type': 'os.system'}},
        pytest.param({'_base_': './evil.py'}),
        pytest.param({'_base_': ['./evil.py']}),
        # what mmengine fills in before it reads the JSON
        pytest.param({'{{$NOT_SET:custom_imports}}': {'imports': ['evil']}}),
        pytest.param({'evil': {'{{$NOT_SET:type}}': 'os.system'}}),
    ],
)
def test_a_config_from_anybody_runs_nothing(tiny_folder, tmp_path, monkeypatch, change):
    folder = shutil.copytree(tiny_folder, tmp_path / 'evil')
    config = json.loads((folder / 'config.json').read_text())
    (folder / 'config.json').write_text(json.dumps({**config, **change}))
    (folder / 'evil.py').write_text(f'open({str(tmp_path / "ran")!r}, "w").close()')
    monkeypatch.syspath_prepend(folder)
    try:
        cfg = load_model(folder, device='cpu').cfg
    except ValueError as error:
        assert f'{folder}/config.json' in str(error)
    else:
        assert cfg.get('evil') != {'type': 'os.system'} and 'evil' not in str(cfg.get('custom_imports'))
    finally:
        sys.modules.pop('evil', None)
    assert not (tmp_path / 'ran').exists()


def test_weights_of_another_tokenizer(tiny_folder, tmp_path):
    """The folder of one model with the words of another."""
    folder = shutil.copytree(tiny_folder, tmp_path / 'mixed')
    for name in ('tokenizer.json', 'vocab.txt') if FOUR else ('tokenizer.json',):
        path = folder / 'tokenizer' / name
        path.write_text(path.read_text().replace('ring', 'rink'))
    with pytest.raises(ValueError, match=r'model\.safetensors was trained with another tokenizer'):
        load_model(folder, device='cpu')


def test_a_folder_of_a_config_that_inherits_from_ours_by_name(tmp_path, small_model):
    """mmengine notes the scope in every setting then."""
    own = tmp_path / 'own.py'
    own.write_text("_base_ = ['mgfe_ris::mgfe_ris/mgfe-ris_tiny_refshapes.py']\n")
    model = build_model(load_config(own, small_model))
    folder = save_folder(model, tmp_path / 'folder')
    assert '"_scope_": "mgfe_ris"' in (folder / 'config.json').read_text()
    loaded = load_model(folder, device='cpu')
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in loaded.state_dict().items())
