"""A tokenizer of whole words, and lists of words made of sentences."""

import re

import pytest
import torch

from mgfe_ris.models.encoders import HFTokenizer
from mgfe_ris.models.encoders.word_list import make_word_list

WORDS = ['<pad>', '<go>', '<unk>', 'the', 'red', 'ring', ',', "'", 's', '.', '-', '2']


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'words.txt'
    path.write_text('\n'.join(WORDS) + '\n', encoding='utf-8')
    return path


def as_phrasecut_splits(sentence: str) -> list[str]:
    """The rule in other words: pieces between which it is split, and what they are split at."""
    words = [word.lower() for word in re.split(r'(\W+)', sentence.strip()) if word.strip()]
    return words[:-1] if words[-1] == '.' and len(words) > 1 else words


SENTENCES = [
    *('The red ring.', 'the  red,ring', 'the, red', "Red-ring's 2", 'red . ', 'red ring .', 'ring..', '.', '?!'),
    *('a blue ball', ' the\tRING ', 'naïve Äpfel', 'red_ring', "the 2's, '."),
]


@pytest.mark.parametrize('sentence', SENTENCES)
def test_sentences_are_split_at_what_is_no_word(file, sentence):
    ids, mask = HFTokenizer(str(file), trim=True)([sentence])
    number = {word: i for i, word in enumerate(WORDS)}
    assert ids[0].tolist() == [number.get(word, number['<unk>']) for word in as_phrasecut_splits(sentence)]
    assert mask.all()


def test_shorter_sentences_are_padded_behind_and_longer_ones_cut(file):
    ids, mask = HFTokenizer(str(file), max_tokens=4)(['red ring', 'the red ring the red ring'])
    assert ids.tolist() == [[4, 5, 0, 0], [3, 4, 5, 3]]
    assert torch.equal(mask, ids > 0)


def test_what_it_knows(file):
    tokenizer = HFTokenizer(str(file))
    assert tokenizer.knows('a red ball') and not tokenizer.knows('a blue ball') and not tokenizer.knows(' , ')


def test_a_folder_splits_in_the_same_way(file, tmp_path):
    """As it lies beside the weights of a model that was exported."""
    tokenizer = HFTokenizer(str(file))
    tokenizer.tokenizer.save_pretrained(tmp_path / 'tokenizer')
    again = HFTokenizer(str(tmp_path / 'tokenizer'))
    for one, other in zip(tokenizer(SENTENCES), again(SENTENCES), strict=True):
        assert torch.equal(one, other)
    assert again.fingerprint() == tokenizer.fingerprint() and again.pad_id == 0


@pytest.mark.parametrize(
    'text, message',
    [
        ('the\nred\n<unk>\n', 'expected a list of words, one a line, the first one <pad>, and <unk> among them'),
        ('<pad>\nthe\nred\n', 'expected a list of words'),
        ('PAD\n<unk>\nred\n', 'the first one <pad>, and <unk> among them, or PAD, and UNK among them'),
        ('', 'expected a list of words'),
        (b'<pad>\n<unk>\n\xff\n', 'not a list of words in UTF-8'),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / 'words.txt'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message):
        HFTokenizer(str(path))


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no such file; name a list of words.*make_word_list\.py'):
        HFTokenizer(str(tmp_path / 'words.txt'))


def test_a_list_out_of_sentences(tmp_path):
    """Frequent words first; it splits the same sentences into words that it has."""
    sentences = ['The red ring.', 'a red ball, red', 'Ring-shaped']
    words = make_word_list(sentences)
    assert words == ['<pad>', '<unk>', 'red', 'ring', '-', 'a', 'ball', 'shaped', 'the']
    assert make_word_list(sentences, at_least=2) == ['<pad>', '<unk>', 'red', 'ring']
    path = tmp_path / 'words.txt'
    path.write_text('\n'.join(words), encoding='utf-8')
    ids, mask = HFTokenizer(str(path))(['the ball - red'])
    assert ids[mask].tolist() == [words.index(word) if word in words else 1 for word in ('the', 'ball', ' - ', 'red')]
    with pytest.raises(ValueError, match='no word is said 4 times'):
        make_word_list(sentences, at_least=4)


SEQTR_SENTENCES = [
    *(
        'The red ring.',
        "left-most man's T/V",
        'a (blue) ball; no: "red"!',
        '  #2,  *  UNK pad ',
        'naïve Äpfel?',
        '2nd,3rd',
    ),
]


@pytest.mark.parametrize('sentence', SEQTR_SENTENCES)
def test_sentences_without_punctuation(tmp_path, sentence):
    """As SeqTR's authors clean them, in other words; capital letters name the marks alone."""
    path = tmp_path / 'words.txt'
    words = ['PAD', 'UNK', 'CLS', 'the', 'red', 'ring', 'left', 'mans', 't', 'v', 'pad', '2', '2nd3rd']
    path.write_text('\n'.join(words), encoding='utf-8')
    ids, mask = HFTokenizer(str(path), max_tokens=15)([sentence])
    text = ''.join(letter for letter in sentence.lower() if letter not in '.,\'!?"()*#:;')
    said = text.replace('-', ' ').replace('/', ' ').split()
    assert ids[mask].tolist() == [words.index(word) if word in words else 1 for word in said]
    assert ids.shape == (1, 15) and not ids[~mask].any()


def test_a_list_in_the_order_of_the_sentences(tmp_path):
    sentences = ['The red ring.', 'a red ball, red', 'Ring-shaped']
    words = make_word_list(sentences, kind='seqtr')
    assert words == ['PAD', 'UNK', 'CLS', 'the', 'red', 'ring', 'a', 'ball', 'shaped']
    path = tmp_path / 'words.txt'
    path.write_text('\n'.join(words), encoding='utf-8')
    ids, mask = HFTokenizer(str(path))(sentences)
    assert ids[mask].tolist() == [3, 4, 5, 6, 4, 7, 4, 5, 8]
    assert not HFTokenizer(str(path)).knows('unk')
    with pytest.raises(ValueError, match=r"a list of words is one of .*'seqtr'.*; got 'bert'"):
        make_word_list(sentences, kind='bert')
