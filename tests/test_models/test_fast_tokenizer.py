"""Tokenizers that every version of transformers makes and saves alike."""

import json
from types import SimpleNamespace

import pytest
import transformers
from tokenizers import Tokenizer, models

from mgfe_ris.models.encoders.fast_tokenizer import CONFIG, as_tokenizer, save_tokenizer
from mgfe_ris.models.encoders.text import VOCABULARY, HFTokenizer

WORDS = {'<pad>': 0, '<unk>': 1, 'red': 2}


def backend(words=WORDS):
    return Tokenizer(models.WordLevel(dict(words), unk_token='<unk>'))


def test_the_built_in_tokenizer_holds_its_vocabulary():
    tokenizer = HFTokenizer()
    words = VOCABULARY.read_text(encoding='utf-8').splitlines()
    assert tokenizer.tokenizer.get_vocab() == {word: i for i, word in enumerate(words)}
    assert tokenizer.fingerprint() == 3195181639


def test_ids_are_the_same_in_every_version():
    ids, mask = HFTokenizer(max_tokens=16)(['The red-ring, 3rd Él 猫!'])
    assert ids[0, mask[0]].tolist() == [2, 83, 94, 77, 85, 80, 34, 58, 44, 9, 52, 1, 401, 3]


def test_a_tokenizer_of_other_words_is_refused(monkeypatch):
    """As transformers 5, which passes over the keyword of version 4 and keeps the marks."""
    marks = dict(pad_token='<pad>', unk_token='<unk>')
    assert as_tokenizer('PreTrainedTokenizerFast', backend(), WORDS, **marks).get_vocab() == WORDS
    kind, few = transformers.PreTrainedTokenizerFast, backend({'<pad>': 0, '<unk>': 1})
    other = SimpleNamespace(
        PreTrainedTokenizerFast=lambda tokenizer_object, **marks: kind(tokenizer_object=few, **marks)
    )
    other.__version__ = transformers.__version__
    monkeypatch.setitem(as_tokenizer.__globals__, 'transformers', other)
    with pytest.raises(ImportError, match=r'with 2 entries of a vocabulary with 3.*requirements\.txt'):
        as_tokenizer('PreTrainedTokenizerFast', backend(), WORDS, **marks)


def test_what_is_saved_names_nothing_that_one_version_knows_alone(tmp_path):
    tokenizer = as_tokenizer('PreTrainedTokenizerFast', backend(), WORDS, pad_token='<pad>', unk_token='<unk>')
    save_tokenizer(tokenizer, tmp_path)
    config = json.loads((tmp_path / CONFIG).read_text())
    assert config['tokenizer_class'] == 'PreTrainedTokenizerFast'
    assert not isinstance(config.get('extra_special_tokens'), list)
    assert HFTokenizer(str(tmp_path)).tokenizer.get_vocab() == WORDS
