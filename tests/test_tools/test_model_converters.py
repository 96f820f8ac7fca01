"""Converters of weights as a user runs them; from an official LAVT file to its metrics and to a mask."""

import argparse
import json
import shutil
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pycocotools.mask as coco_mask
import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from PIL import Image
from safetensors.torch import load_file
from transformers import BertTokenizerFast

from mgfe_ris.apis import RISInferencer, build_model, load_config, load_model
from mgfe_ris.models.checkpoints import to_lavt
from mgfe_ris.models.encoders.text import VOCABULARY

REPO = Path(__file__).parents[2]
CONFIG = """
_base_ = '{base}'

channels = (8, 16, 32, 64)
words = dict(vocab_size={words}, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='{tokenizer}')),
    text_encoder=dict(config=words),
    encoder=dict(embed_dims=8, depths=(1, 2, 1, 1), num_heads=(1, 1, 2, 2), window_size=4),
    neck=dict(channels=channels, text_channels=16),
    decode_head=dict(channels=channels),
)
"""


def write_tokenizer(folder: Path, *more: str) -> Path:
    words = [*VOCABULARY.read_text().split('\n')[:-1], *more]
    folder.mkdir()
    (folder / 'vocab.txt').write_text('\n'.join(words) + '\n')
    (folder / 'tokenizer_config.json').write_text(json.dumps(dict(tokenizer_class='BertTokenizer')))
    return folder


def randomize(model: torch.nn.Module) -> None:
    """No weight stays as it is made."""
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) - (0.0 if name.endswith('running_var') else 0.5))
        elif name.endswith('num_batches_tracked'):
            value.fill_(2**40 + 1)


@pytest.fixture(scope='module')
def lavt(tmp_path_factory) -> SimpleNamespace:
    """A small LAVT of ours with random weights: its config file and the ``model``."""
    folder = tmp_path_factory.mktemp('lavt')
    tokenizer = write_tokenizer(folder / 'bert')
    words = len(BertTokenizerFast.from_pretrained(tokenizer))
    base = REPO / 'configs/lavt/lavt_swin-base_refcoco.py'
    config = folder / 'lavt_small.py'
    config.write_text(CONFIG.format(base=base, words=words, tokenizer=tokenizer))
    model = build_model(load_config(config, {'test_dataloader.dataset.pipeline.0.transforms.1.scale': (64, 64)})).eval()
    randomize(model)
    photo = folder / 'photo.jpg'
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((90, 60)).save(photo)
    with torch.no_grad():  # neither empty nor full masks
        ids, mask = model.data_preprocessor.tokenizer(['red ring'])
        logits = model.segment(torch.randn(1, 3, 64, 64), ids, mask)[0]
        model.decode_head.classify.bias[1] += (logits[0] - logits[1]).median()
    return SimpleNamespace(config=config, model=model, state=model.state_dict(), photo=photo, tokenizer=tokenizer)


def official(state: dict, form: str) -> dict:
    """What the official code saves."""
    checkpoint = to_lavt(state, single_model=form == 'single model')
    if form == 'module.':  # of DistributedDataParallel
        checkpoint = {part: {f'module.{k}': v for k, v in values.items()} for part, values in checkpoint.items()}
    weights = torch.zeros(2)
    return dict(
        {part: OrderedDict(values) for part, values in checkpoint.items()},
        optimizer=dict(state={0: dict(step=7, exp_avg=weights)}, param_groups=[dict(lr=5e-5, params=[0])]),
        epoch=39,
        args=argparse.Namespace(model='lavt', window12=True, pretrained_swin_weights='./swin.pth', lr=5e-5),
        lr_scheduler=dict(base_lrs=[5e-5], last_epoch=7),
    )


@pytest.fixture(scope='module')
def released(lavt, tmp_path_factory) -> Path:
    """A file of the official form."""
    path = tmp_path_factory.mktemp('download') / 'refcoco.pth'
    torch.save(official(lavt.state, 'two models'), path)
    return path


@pytest.fixture(scope='module')
def tiny(small_model, tmp_path_factory) -> Path:
    """What a training of the tiny model leaves."""
    folder = tmp_path_factory.mktemp('work_dir')
    model = build_model(load_config('mgfe-ris_tiny_refshapes', small_model))
    randomize(model)
    model.cfg.dump(folder / 'mgfe-ris_tiny_refshapes.py')
    torch.save(dict(meta=dict(epoch=2), state_dict=model.state_dict()), folder / 'best_oIoU_epoch_2.pth')
    return folder


@pytest.fixture
def convert(run_here):
    return lambda tool, *args: run_here(f'model_converters/{tool}.py', *args)


@pytest.fixture
def refused(convert, capfd, tmp_path):
    """Runs a converter that must stop with status 2 and one line, and leave nothing; returns the line."""

    def run_and_read(tool: str, *args: object) -> str:
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
        with pytest.raises(SystemExit) as stop:
            convert(tool, *args)
        out, err = capfd.readouterr()
        assert stop.value.code == 2
        (line,) = [line for line in err.splitlines() if line]
        assert line.startswith('error: ') and 'wrote' not in out
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')} == before, 'something was written'
        return line

    return run_and_read


def assert_same_bits(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        other = theirs[name]
        assert (value.dtype, value.shape) == (other.dtype, other.shape), name
        assert value.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes(), name


# The three commands


def test_from_an_official_file_to_metrics_and_a_mask(lavt, released, refshapes, tmp_path, run_here, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scale = 'test_dataloader.dataset.pipeline.0.transforms.1.scale=64,64'
    settings = ['--config', lavt.config, '--out', 'lavt', '--cfg-options', scale]
    assert run_here('model_converters/lavt2mgfe.py', released, *settings)[-1] == 'wrote lavt'
    files = {path: path.read_bytes() for path in Path('lavt').rglob('*') if path.is_file()}

    dataset = [f'data_root={refshapes}', 'test_dataloader.dataset.ann_folder=refshapes', 'test_cfg.splits=val,testA']
    # one at a time, as below: a batch rounds otherwise, and some pixels of random weights are a draw
    dataset += [
        'test_dataloader.num_workers=0',
        'test_dataloader.persistent_workers=False',
        'test_dataloader.batch_size=1',
    ]
    run_here('test.py', 'lavt', 'lavt', '--out', 'results', '--cfg-options', *dataset)
    metrics = json.loads(Path('results/metrics.json').read_text())['metrics']
    for split in ('val', 'testA'):
        found = truths_and_masks(lavt.model, Path(f'results/{split}.jsonl'))
        both, any_ = (np.array([f(a, b).sum() for a, b in found]) for f in (np.logical_and, np.logical_or))
        assert both.sum() > 0
        assert metrics[f'{split}/oIoU'] == pytest.approx(100 * both.sum() / any_.sum(), abs=1e-6)
        assert metrics[f'{split}/mIoU'] == pytest.approx(100 * (both / any_).mean(), abs=1e-6)

    printed = run_here('infer.py', lavt.photo, '--text', 'red ring', '--model', 'lavt', '--out', 'found')
    assert printed[-1] == 'wrote found: masks/, overlays/ and results.jsonl of 1 photos'
    mask = np.asarray(Image.open('found/masks/photo.png'))
    np.testing.assert_array_equal(mask, 255 * RISInferencer(lavt.model)(lavt.photo, 'red ring').mask)
    assert 0.02 < (mask > 0).mean() < 0.98
    with Image.open('found/overlays/photo.png') as overlay:
        assert overlay.format == 'PNG' and overlay.width == 90
    left = {path: path.read_bytes() for path in Path('lavt').rglob('*') if path.is_file()}
    assert left == files, 'test and inference only read the folder'


def truths_and_masks(model: torch.nn.Module, lines: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The truth of each tested sample, and what the model itself makes of the photo."""
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert len(records) > 3
    return [
        (coco_mask.decode(r['truth']).astype(bool), RISInferencer(model)(r['img_path'], r['sentence']).mask)
        for r in records
    ]


# LAVT, there and back


@pytest.mark.parametrize('form', ['two models', 'single model', 'module.'])
def test_official_files_in_all_forms(lavt, tmp_path, convert, form):
    torch.save(official(lavt.state, form), tmp_path / 'x.pth')
    convert('lavt2mgfe', tmp_path / 'x.pth', '--config', lavt.config, '--out', tmp_path / 'out/lavt')
    assert_same_bits(lavt.state, load_file(tmp_path / 'out/lavt/model.safetensors'))
    loaded = load_model(tmp_path / 'out/lavt', device='cpu')
    assert_same_bits(lavt.state, loaded.state_dict())
    text = (tmp_path / 'out/lavt/config.json').read_text()
    assert str(lavt.config.parent) not in text and 'https://' not in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ['out', 'x.pth']


def test_one_of_our_configs_by_its_name_and_options(lavt, released, tmp_path, convert):
    """Everything that makes the model small is an option here."""
    small = load_config(lavt.config)
    options = {f'model.encoder.{k}': small.model.encoder[k] for k in ('embed_dims', 'depths', 'num_heads')}
    options |= {'model.encoder.window_size': 4, 'model.neck.text_channels': 16}
    options |= {f'model.{part}.channels': small.channels for part in ('neck', 'decode_head')}
    options |= {f'model.text_encoder.config.{k}': v for k, v in small.words.items()}
    options |= {'model.data_preprocessor.tokenizer.pretrained': lavt.tokenizer}
    texts = [f'{k}={",".join(map(str, v)) if isinstance(v, (list, tuple)) else v}' for k, v in options.items()]
    settings = ['--config', 'lavt_swin-base_refcoco', '--out', tmp_path / 'out', '--cfg-options', *texts]
    convert('lavt2mgfe', released, *settings)
    assert_same_bits(lavt.state, load_model(tmp_path / 'out', device='cpu').state_dict())


def test_weights_with_a_word_of_their_own_in_the_tokenizer(lavt, released, tmp_path, convert):
    """The folder keeps the tokenizer that was named, so that its weights are never read with another."""
    convert('lavt2mgfe', released, '--config', lavt.config, '--out', tmp_path / 'out')
    ours, theirs = (m.data_preprocessor.tokenizer for m in (lavt.model, load_model(tmp_path / 'out', device='cpu')))
    for before, after in zip(ours(['The RED ring', 'zzz']), theirs(['The RED ring', 'zzz']), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize('form', ['two models', 'single model'])
@pytest.mark.parametrize('source', ['folder', 'weights.pth', 'weights.safetensors'])
def test_a_file_for_the_official_code(lavt, released, tmp_path, convert, form, source):
    path = tmp_path / source
    if source == 'folder':
        convert('lavt2mgfe', released, '--config', lavt.config, '--out', path)
    elif source == 'weights.pth':
        torch.save(dict(state_dict=lavt.state, meta=dict(epoch=1)), path)
    else:
        convert('lavt2mgfe', released, '--config', lavt.config, '--out', tmp_path / 'folder')
        (tmp_path / 'folder/model.safetensors').rename(path)
    flags = ['--single-model'] if form == 'single model' else []
    printed = convert('mgfe2lavt', path, tmp_path / 'new/lavt.pth', *flags)
    assert printed[-1] == f'wrote {tmp_path}/new/lavt.pth'
    written = torch.load(tmp_path / 'new/lavt.pth', weights_only=True)
    expected = official(lavt.state, form)
    assert written.keys() == ({'model'} if flags else {'model', 'bert_model'})
    assert any(name.startswith('text_encoder.') for name in written['model']) == bool(flags)
    for part, state in written.items():
        assert_same_bits(expected[part], state)


def test_names_and_shapes_of_the_official_code(lavt, released):
    """A few by hand, since the two converters could be wrong together."""
    theirs = torch.load(released, weights_only=False)
    model, bert, ours = theirs['model'], theirs['bert_model'], lavt.state
    for name in ('conv1_4', 'conv2_2'):
        block = 4 - int(name[-1])
        conv = ours[f'decode_head.blocks.{block}.{int(name[4]) - 1}.conv.weight']
        assert torch.equal(model[f'classifier.{name}.weight'], conv)
    assert model['backbone.layers.0.fusion.vis_project.0.weight'].shape == (8, 8, 1)
    assert model['backbone.layers.2.fusion.image_lang_att.f_key.0.weight'].shape == (32, 16, 1)
    assert model['backbone.layers.1.res_gate.0.weight'].shape == (16, 16)
    index = model['backbone.layers.1.blocks.1.attn.relative_position_index']
    by_hand = [[(a // 4 - b // 4 + 3) * 7 + (a % 4 - b % 4 + 3) for b in range(16)] for a in range(16)]
    assert torch.equal(index, torch.tensor(by_hand))
    # patch merging: theirs takes channels of a pixel together, ours pixels of a channel
    reduction = (
        model['backbone.layers.0.downsample.reduction.weight'],
        ours['encoder.stages.0.downsample.reduction.weight'],
    )
    assert torch.equal(reduction[0][:, 8:16], reduction[1][:, 2::4]), 'the pixel below is their second, our third'
    assert torch.equal(bert['embeddings.position_ids'], torch.arange(512)[None])
    layer = 'encoder.layer.1.attention.self.query.weight'
    assert torch.equal(bert[layer], ours[f'text_encoder.model.{layer}'])


# A trained model as a folder


@pytest.mark.parametrize('how', ['work dir', 'file', 'config'])
def test_a_work_dir_as_a_folder(tiny, tmp_path, convert, how):
    source, flags = tiny / 'best_oIoU_epoch_2.pth', []
    if how == 'work dir':
        source = tiny
    elif how == 'config':
        source = Path(shutil.copy(source, tmp_path / 'alone.pth'))
        flags = ['--config', tiny / 'mgfe-ris_tiny_refshapes.py']
    printed = convert('mgfe2folder', source, *flags, '--out', tmp_path / 'new/out')
    assert printed[-1] == f'wrote {tmp_path}/new/out'
    assert_same_bits(load_model(tiny).state_dict(), load_model(tmp_path / 'new/out').state_dict())
    assert sorted(path.name for path in (tmp_path / 'new').iterdir()) == ['out']


# Encoders


def swin_of(lavt: SimpleNamespace) -> dict:
    """The Swin in a LAVT, under the names of the original repository."""
    state = {
        k.removeprefix('backbone.'): v for k, v in to_lavt(lavt.state)['model'].items() if k.startswith('backbone.')
    }
    return {k: v for k, v in state.items() if '.fusion.' not in k and '.res_gate.' not in k}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_swin(lavt, tmp_path, convert, suffix):
    head = {
        'head.weight': torch.zeros(3, 64),
        'norm.bias': torch.zeros(64),
        'layers.0.blocks.0.attn_mask': torch.ones(1),
    }
    torch.save(dict(model={**swin_of(lavt), **head}), tmp_path / 'swin.pth')
    out = tmp_path / f'out{suffix}'
    assert convert('encoder2mgfe', 'swin', tmp_path / 'swin.pth', out)[-1] == f'wrote {out}'
    state = load_file(out) if suffix == '.safetensors' else torch.load(out, weights_only=True)
    assert_same_bits(lavt.model.encoder.state_dict(), state)


def test_swin_with_another_window(lavt, tmp_path, convert):
    torch.save(dict(model=swin_of(lavt)), tmp_path / 'swin.pth')
    convert('encoder2mgfe', 'swin', tmp_path / 'swin.pth', tmp_path / 'out.safetensors', '--window-size', 7)
    before, after = lavt.model.encoder.state_dict(), load_file(tmp_path / 'out.safetensors')
    tables = {name for name in after if name.endswith('relative_position_bias_table')}
    assert len(tables) == 5
    for name in tables:
        assert before[name].shape[0] == 7**2 and after[name].shape == (13**2, before[name].shape[1])
        # the middle of the table is distance 0 in either window
        assert torch.allclose(after[name][13**2 // 2], before[name][7**2 // 2], atol=1e-6)
    without = [{k: v for k, v in state.items() if k not in tables} for state in (before, after)]
    assert_same_bits(*without)
    init_default_scope('mmseg')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'out.safetensors'))
    encoder = MODELS.build({**lavt.model.cfg.model.encoder, 'window_size': 7, 'init_cfg': pretrained})
    encoder.init_weights()
    assert_same_bits(after, encoder.state_dict())


def test_rows_of_a_position_table_stay_rows(tmp_path, convert):
    name = 'stages.0.blocks.0.attn.w_msa.relative_position_bias_table'
    down = torch.arange(7.0)[:, None, None].expand(7, 7, 2).flatten(0, 1)  # grows with the distance downwards alone
    torch.save({name.replace('stages', 'layers').replace('w_msa.', ''): down}, tmp_path / 'swin.pth')
    convert('encoder2mgfe', 'swin', tmp_path / 'swin.pth', tmp_path / 'out.pth', '--window-size', 7)
    table = torch.load(tmp_path / 'out.pth', weights_only=True)[name].unflatten(0, (13, 13))
    assert torch.allclose(table, table[:, :1].expand_as(table), atol=1e-5) and (table[1:] > table[:-1]).all()


def test_text(lavt, tmp_path, convert):
    bert = {f'bert.{name}': value for name, value in to_lavt(lavt.state)['bert_model'].items()}
    bert['bert.pooler.dense.weight'] = bert['cls.predictions.bias'] = torch.zeros(16)
    torch.save(bert, tmp_path / 'pytorch_model.bin')
    convert('encoder2mgfe', 'text', tmp_path / 'pytorch_model.bin', tmp_path / 'out.pth')
    assert_same_bits(lavt.model.text_encoder.state_dict(), torch.load(tmp_path / 'out.pth', weights_only=True))


@pytest.mark.parametrize(
    ('kind', 'theirs', 'ours'),
    [
        ('vit', 'blocks.3.mlp.fc2.bias', 'layers.3.ffn.layers.1.bias'),
        ('vit', 'pos_embed', 'pos_embed'),
        ('conv', 'layer1.0.bn1.running_var', 'layer1.0.bn1.running_var'),
        ('conv', 'backbone.stages.0.0.gamma', 'stages.0.0.gamma'),
    ],
)
def test_other_encoders(tmp_path, convert, kind, theirs, ours):
    torch.save({theirs: torch.ones(3), 'head.weight': torch.zeros(2)}, tmp_path / 'in.pth')
    convert('encoder2mgfe', kind, tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert_same_bits({ours: torch.ones(3)}, torch.load(tmp_path / 'out.pth', weights_only=True))


# What they say of bad input

SOURCES = {
    'lavt2mgfe': lambda source, out: [source, '--config', 'lavt_tiny_refshapes', '--out', out],
    'mgfe2folder': lambda source, out: [source, '--config', 'mgfe-ris_tiny_refshapes', '--out', out],
    'mgfe2lavt': lambda source, out: [source, out],
    'mgfe2official': lambda source, out: [source, out, '--config', 'mgfe-ris_tiny_refshapes'],
    'encoder2mgfe': lambda source, out: ['swin', source, out],
}


@pytest.mark.parametrize('tool', SOURCES)
def test_a_missing_file(refused, tmp_path, tool):
    line = refused(tool, *SOURCES[tool](tmp_path / 'gone.pth', tmp_path / 'out'))
    assert f'{tmp_path}/gone.pth: no such checkpoint' in line


@pytest.mark.parametrize('tool', SOURCES)
@pytest.mark.parametrize('name', ['page.pth', 'page.safetensors'])
def test_a_page_in_place_of_a_file(refused, tmp_path, tool, name):
    (tmp_path / name).write_text('<html>please log in</html>')
    assert f'{tmp_path}/{name}: not a checkpoint' in refused(tool, *SOURCES[tool](tmp_path / name, tmp_path / 'out'))


@pytest.mark.parametrize('tool', SOURCES)
def test_what_is_there_stays(refused, lavt, released, tiny, tmp_path, tool):
    out = tmp_path / 'out'
    if tool in ('lavt2mgfe', 'mgfe2folder'):
        out.mkdir()
        (out / 'mine').touch()
        source, words = tmp_path / 'not_even_read.pth', f'{out} is not empty; name another folder, or delete'
    else:
        out.write_text('mine')
        source, words = tmp_path / 'in.pth', f'{out} is there already; name another file, or delete it'
        torch.save(lavt.state if tool == 'mgfe2lavt' else swin_of(lavt), source)
    assert words in refused(tool, *SOURCES[tool](source, out))


@pytest.mark.parametrize('tool', ['mgfe2lavt', 'mgfe2official', 'encoder2mgfe'])
def test_the_place_is_looked_at_first(refused, tmp_path, tool):
    """Before a file of a gigabyte is read."""
    (tmp_path / 'out').write_text('mine')
    assert f'{tmp_path}/out is there already' in refused(tool, *SOURCES[tool](tmp_path / 'gone.pth', tmp_path / 'out'))


def test_an_official_file_and_another_architecture(refused, lavt, released, tmp_path):
    settings = ['--config', lavt.config, '--out', tmp_path / 'out', '--cfg-options']
    line = refused('lavt2mgfe', released, *settings, 'model.decode_head.hidden=24')
    assert f'{released} does not fit the model of the config: ' in line and 'decode_head.blocks.0.0.conv.weight' in line
    line = refused('lavt2mgfe', released, *settings, 'model.encoder.depths=1,1,1,1')
    assert 'encoder.stages.1.blocks.1' in line and 'is not in the model' in line
    line = refused('lavt2mgfe', released, *settings, 'model.text_encoder.config.vocab_size=500')
    assert 'word_embeddings.weight is (420, 16), the model has (500, 16)' in line


def test_an_official_file_and_an_mgfe_config(refused, released, tmp_path):
    line = refused('lavt2mgfe', released, '--config', 'mgfe-ris_tiny_refshapes', '--out', tmp_path / 'out')
    assert f'{released} does not fit the model of the config' in line


def test_a_tokenizer_of_another_size(refused, lavt, released, tmp_path):
    other = write_tokenizer(tmp_path / 'other', 'chartreuse')
    option = f'model.data_preprocessor.tokenizer.pretrained={other}'
    line = refused('lavt2mgfe', released, '--config', lavt.config, '--out', tmp_path / 'out', '--cfg-options', option)
    assert f'the tokenizer has 421 words, the BERT in {released} has 420' in line
    assert '--cfg-options model.data_preprocessor.tokenizer.pretrained=DIR' in line
    line = refused(
        'lavt2mgfe', released, '--config', lavt.config, '--out', tmp_path / 'out', '--cfg-options', f'{option}x'
    )
    assert f"'{other}x' is neither a local folder nor to be had from the hub" in line


def test_an_unknown_config(refused, released, tmp_path):
    line = refused('lavt2mgfe', released, '--config', 'lavt_swim', '--out', tmp_path / 'out')
    assert 'lavt_swim: no such config file or folder.' in line and 'lavt_swin-base_refcoco' in line


def test_the_config_is_read_first(refused, tmp_path):
    line = refused('lavt2mgfe', tmp_path / 'not_even_read.pth', '--config', 'lavt_swim', '--out', tmp_path / 'out')
    assert 'lavt_swim: no such config file or folder' in line


@pytest.mark.parametrize(
    'tool',
    [
        pytest.param('lavt2mgfe'),
        'mgfe2folder',
        'mgfe2lavt',
        pytest.param('encoder2mgfe'),
    ],
)
def test_files_that_hold_no_weights(refused, tmp_path, tool):
    torch.save([1, 2], tmp_path / 'list.pth')
    line = refused(tool, *SOURCES[tool](tmp_path / 'list.pth', tmp_path / 'out'))
    assert f'{tmp_path}/list.pth: expected a state dict' in line


@pytest.mark.parametrize('name', ['mgfe-ris_tiny_refshapes', 'lavt_tiny_refshapes'])
def test_a_model_that_the_official_code_does_not_have(refused, small_model, tmp_path, name):
    torch.save(build_model(load_config(name, small_model)).state_dict(), tmp_path / 'x.pth')
    line = refused('mgfe2lavt', tmp_path / 'x.pth', tmp_path / 'out.pth')
    assert 'names that nothing here explains' in line and 'encoder.layer1.0.conv1.weight' in line
    assert ('neck.refine.0' in line) == (name == 'mgfe-ris_tiny_refshapes')
    assert 'decode_head' not in line and 'text_encoder' not in line, 'only names without an official form'


@pytest.mark.parametrize('tool', ['lavt2mgfe', 'mgfe2lavt', 'encoder2mgfe'])
def test_names_that_nobody_explains_come_with_their_file(refused, tiny, tmp_path, tool):
    path = tiny / 'best_oIoU_epoch_2.pth'
    line = refused(tool, *SOURCES[tool](path, tmp_path / 'out.pth'))
    assert f'{path}: ' in line and 'neck.refine.0' in line


def test_our_file_where_an_official_one_is_expected(refused, lavt, tmp_path):
    torch.save(lavt.state, tmp_path / 'ours.pth')
    line = refused('lavt2mgfe', tmp_path / 'ours.pth', '--config', lavt.config, '--out', tmp_path / 'out')
    assert 'names that nothing here explains' in line and 'decode_head.classify.weight' in line


def test_a_model_of_no_other_authors(refused, tiny, tmp_path):
    line = refused('mgfe2official', tiny, tmp_path / 'out.pth')
    assert 'no code of other authors is known here that loads a ReferringSegmentor; for a LAVT' in line


@pytest.mark.parametrize('tool', ['mgfe2lavt', 'mgfe2official'])
def test_safetensors_for_the_official_code(refused, tmp_path, tool):
    line = refused(tool, tmp_path / 'not_even_read.pth', tmp_path / 'out.safetensors')
    assert 'out.safetensors: the official code reads .pth files' in line


@pytest.mark.parametrize('tool', ['mgfe2folder', 'mgfe2lavt'])
def test_folders_with_no_or_several_checkpoints(refused, tiny, tmp_path, tool):
    (tmp_path / 'work').mkdir()
    assert f'{tmp_path}/work: expected one file' in refused(tool, *SOURCES[tool](tmp_path / 'work', tmp_path / 'out'))
    for metric in ('mIoU', 'oIoU'):
        shutil.copy(tiny / 'best_oIoU_epoch_2.pth', tmp_path / f'work/best_{metric}_epoch_1.pth')
    line = refused(tool, *SOURCES[tool](tmp_path / 'work', tmp_path / 'out'))
    assert 'best_oIoU_epoch_1.pth' in line and 'name the one you mean' in line


def test_weights_without_a_config(refused, tiny, tmp_path):
    shutil.copy(tiny / 'best_oIoU_epoch_2.pth', tmp_path)
    line = refused('mgfe2folder', tmp_path / 'best_oIoU_epoch_2.pth', '--out', tmp_path / 'out')
    assert f'{tmp_path}: expected one file *.py, found []' in line


def test_a_window_where_there_is_none(refused, tmp_path):
    line = refused('encoder2mgfe', 'text', tmp_path / 'not_even_read.pth', tmp_path / 'out.pth', '--window-size', 7)
    assert '--window-size is for swin; a text has no windows' in line


@pytest.mark.parametrize('size', [0, -3])
def test_a_window_of_no_size(refused, lavt, tmp_path, size):
    torch.save(swin_of(lavt), tmp_path / 'in.pth')
    line = refused('encoder2mgfe', 'swin', tmp_path / 'in.pth', tmp_path / 'out.pth', '--window-size', size)
    assert '--window-size' in line


def test_an_unknown_kind(convert, tmp_path, capfd):
    with pytest.raises(SystemExit) as stop:
        convert('encoder2mgfe', 'resnet', tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert stop.value.code == 2
    err = capfd.readouterr().err
    assert "invalid choice: 'resnet'" in err and all(kind in err for kind in ('swin', 'text', 'vit', 'conv'))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('kind', ['swin', 'text', 'vit'])
def test_an_encoder_of_another_kind(refused, tmp_path, kind):
    torch.save({'layer1.0.conv1.weight': torch.zeros(1), 'fc.bias': torch.zeros(1)}, tmp_path / 'in.pth')
    line = refused('encoder2mgfe', kind, tmp_path / 'in.pth', tmp_path / 'out.pth')
    assert 'names that nothing here explains' in line and 'layer1.0.conv1.weight' in line


def test_a_lavt_file_where_ours_is_expected(lavt, released, tmp_path):
    """The one that a user downloads and opens first."""
    with pytest.raises(ValueError, match=r'convert it with tools/model_converters/lavt2mgfe\.py first'):
        load_model(lavt.config, released, 'cpu')
