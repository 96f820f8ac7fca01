"""A tokenizer of whole words out of a list of them, and such a list out of sentences."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

LIST_SUFFIX = '.txt'
PAD, UNKNOWN = '<pad>', '<unk>'


def read_word_list(path: str | Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a file with a word in each line, whose id is the line's number, from 0; without marks of start
    and end.

    Sentences are split as TF-phrasecut (Liu et al., ICCV 2017) and those after it split them: in lower case, into words
    and what is between them; blanks are dropped, and so is a full stop at the end. A comma with a blank behind it is
    another word than one without, and a word that the list lacks is ``<unk>``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such list: the first word must be ``<pad>``, and one of them ``<unk>``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: no such file; name a list of words, one a line, or let '
            'tools/dataset_converters/make_word_list.py write one'
        )
    try:
        words = [line.strip() for line in path.read_text(encoding='utf-8').splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a list of words in UTF-8 ({error})') from error
    if words[:1] != [PAD] or UNKNOWN not in words:
        raise ValueError(f'{path}: expected a list of words, one a line, the first one {PAD}, and {UNKNOWN} among them')
    tokenizer = _splitter()
    tokenizer.model = models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=UNKNOWN, pad_token=PAD)


def make_word_list(sentences: Iterable[str], at_least: int = 1) -> list[str]:
    """The lines of a file for :func:`read_word_list`: padding, the unknown word, and the words of the sentences, those
    first that are said most.

    Args:
        sentences: of the training split.
        at_least: words that are said less often are left out.

    Raises:
        ValueError: there is no word.
    """
    splitter, counts = _splitter(), Counter[str]()
    for sentence in sentences:
        text = splitter.normalizer.normalize_str(sentence)
        counts.update(word for word, _ in splitter.pre_tokenizer.pre_tokenize_str(text))
    # a file's lines are stripped: what has a blank at its ends could never be found again
    kept = [word for word, count in counts.items() if count >= at_least and word == word.strip()]
    if not kept:
        raise ValueError(f'no word is said {at_least} times or more')
    return [PAD, UNKNOWN, *sorted(kept, key=lambda word: (-counts[word], word))]


def _splitter() -> Tokenizer:
    """It splits sentences; it knows no word yet."""
    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Replace(Regex(r'(?<=\w)\.\z'), ''), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r'\W+'), 'isolated'),
            pre_tokenizers.Split(Regex(r'\A\s+\z'), 'removed'),
        ]
    )
    return tokenizer
