"""The words of a training, from its sentences to the results of those who ask for others."""

from pathlib import Path

import pytest

from mgfe_ris.apis import RISInferencer, load_config, load_model, save_folder
from mgfe_ris.apis.config import learns_all_words
from mgfe_ris.models.encoders import HFTokenizer
from mgfe_ris.training_words import WORDS, read_words, words_of, write_words

PHOTO = 'images/refshapes/000001.jpg'


def test_words_are_in_lower_case_and_without_marks():
    assert words_of("The man's left-hand  CUP, no. 2?") == ['the', 'man', 's', 'left', 'hand', 'cup', 'no', '2']
    assert words_of('cafe\u0301 右 😀') == ['caf\u00e9', '右']


def test_a_file_of_words(tmp_path):
    assert read_words(tmp_path) is None
    write_words(['red', 'ball', 'red', 'caf\u00e9'], tmp_path)
    assert (tmp_path / WORDS).read_text(encoding='utf-8') == 'ball\ncaf\u00e9\nred\n'
    assert read_words(tmp_path) == {'red', 'ball', 'caf\u00e9'}
    (tmp_path / WORDS).write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match=f'{WORDS}: not a list of words in UTF-8'):
        read_words(tmp_path)


def test_unmet_words_come_once_and_only_of_who_has_a_list():
    tokenizer = HFTokenizer()
    assert tokenizer.unmet('the red giraffe') is None
    tokenizer.met = frozenset(['the', 'red'])
    assert tokenizer.unmet('The red giraffe, THE giraffe of a zoo') == ('giraffe', 'of', 'a', 'zoo')
    assert tokenizer.unmet('red') == () and tokenizer.knows('giraffe'), 'spelt in pieces, which is no notion of it'


@pytest.mark.parametrize(
    ('config', 'options', 'all_words'),
    [
        ('mgfe-ris_tiny_refcoco', {}, True),
        ('mgfe-ris_tiny_refcoco', {'load_from': 'x.pth'}, False),
        ('mgfe-ris_resnet-50_refcoco', {}, False),  # BERT
        ('mgfe-ris_resnet-50_refcoco', {'model.text_encoder.pretrained': None}, True),  # eyes and a tokenizer alone
        ('mgfe-ris_clip-rn50_refcoco', {}, False),  # by init_cfg
        ('mgfe-ris_efficientnet-lite0_minilm_photos', {}, False),  # MiniLM
        ('mgfe-ris_efficientnet-lite0_minilm_photos_from-scratch', {}, True),
    ],
)
def test_who_learns_all_words(config, options, all_words):
    assert learns_all_words(load_config(config, options)) is all_words


@pytest.fixture
def folder(model_folder, tmp_path) -> Path:
    """A model that learned two words, handed on."""
    model = load_model(model_folder, device='cpu')
    model.data_preprocessor.tokenizer.met = frozenset(['red', 'ring'])
    return save_folder(model, tmp_path / 'mine')


def test_a_folder_keeps_them_and_results_tell(folder, model_folder, refshapes, one_thread):
    assert '2 of its training sentences' in (folder / 'README.md').read_text()
    known, other = RISInferencer(folder)(refshapes / PHOTO, ['red ring', 'red giraffe'])
    assert known.to_json()['unmet'] == [] and 'unmet' not in repr(known)
    assert other.unmet == ('giraffe',) and other.to_json()['unmet'] == ['giraffe'] and other.understood
    assert "unmet=('giraffe',)" in repr(other)
    silent = RISInferencer(model_folder)(refshapes / PHOTO, 'red giraffe')
    assert silent.unmet is None and 'unmet' not in silent.to_json() and 'unmet' not in repr(silent)
    assert not (model_folder / WORDS).exists() and 'training sentences' not in (model_folder / 'README.md').read_text()
