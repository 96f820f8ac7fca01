"""A tokenizer of whole words out of a list of them, and such a list out of sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from .fast_tokenizer import as_tokenizer

LIST_SUFFIX = '.txt'


class ListKind(NamedTuple):
    """Which words a list begins with, and how its sentences are split."""

    pad: str
    unknown: str
    others: tuple[str, ...]
    """Marks after the unknown word, where a new list is made; nothing writes them."""
    by_count: bool
    """Of a new list: words that are said most come first; False: in the order in which they are first said."""
    normalizer: normalizers.Normalizer
    """Of a sentence, ahead of its being split."""
    pre_tokenizer: pre_tokenizers.PreTokenizer
    """It splits sentences."""


def read_word_list(path: str | Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a file with a word in each line, whose id is the line's number, from 0; without marks of start
    and end.

    The first word says which kind of list it is, see :data:`KINDS`, and so how sentences are split. A word that the
    list lacks is the unknown one.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no such list: the first word must be ``<pad>`` or ``PAD``, and one of them ``<unk>`` or
            ``UNK``.
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
    kind = next((kind for kind in KINDS.values() if words[:1] == [kind.pad] and kind.unknown in words), None)
    if kind is None:
        marks = ', or '.join(f'{kind.pad}, and {kind.unknown} among them' for kind in KINDS.values())
        raise ValueError(f'{path}: expected a list of words, one a line, the first one {marks}')
    ids = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.WordLevel(ids, unk_token=kind.unknown))
    backend.normalizer, backend.pre_tokenizer = kind.normalizer, kind.pre_tokenizer
    return as_tokenizer('PreTrainedTokenizerFast', backend, ids, unk_token=kind.unknown, pad_token=kind.pad)


def make_word_list(sentences: Iterable[str], at_least: int = 1, kind: str = 'phrasecut') -> list[str]:
    """The lines of a file for :func:`read_word_list`: padding, the unknown word, and the words of the sentences.

    Args:
        sentences: of the training split.
        at_least: words that are said less often are left out.
        kind: of :data:`KINDS`.

    Raises:
        ValueError: there is no word, or no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f'a list of words is one of {list(KINDS)}; got {kind!r}')
    begin = KINDS[kind]
    counts = Counter[str]()
    for sentence in sentences:
        text = begin.normalizer.normalize_str(sentence)
        counts.update(word for word, _ in begin.pre_tokenizer.pre_tokenize_str(text))
    # a file's lines are stripped: what has a blank at its ends could never be found again
    kept = [word for word, count in counts.items() if count >= at_least and word == word.strip()]
    if not kept:
        raise ValueError(f'no word is said {at_least} times or more')
    if begin.by_count:
        kept.sort(key=lambda word: (-counts[word], word))
    return [begin.pad, begin.unknown, *begin.others, *kept]


KINDS = {
    'phrasecut': ListKind(
        pad='<pad>',
        unknown='<unk>',
        others=(),
        by_count=True,
        # in lower case, without blanks at the ends and without a full stop there
        normalizer=normalizers.Sequence(
            [normalizers.Strip(), normalizers.Replace(Regex(r'(?<=\w)\.\z'), ''), normalizers.Lowercase()]
        ),
        # into words and what is between them; a comma with a blank after it is another word than one without
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(r'\W+'), 'isolated'), pre_tokenizers.Split(Regex(r'\A\s+\z'), 'removed')]
        ),
    ),
    'seqtr': ListKind(
        pad='PAD',
        unknown='UNK',
        others=('CLS',),
        by_count=False,
        # in lower case, without most marks of punctuation; a hyphen and a slash are blanks
        normalizer=normalizers.Sequence(
            [
                normalizers.Lowercase(),
                normalizers.Replace(Regex(r"""[.,'!?"()*#:;]"""), ''),
                normalizers.Replace(Regex(r'[-/]'), ' '),
            ]
        ),
        pre_tokenizer=pre_tokenizers.WhitespaceSplit(),
    ),
}
"""As TF-phrasecut (Liu et al., ICCV 2017) and those after it have their lists, EFN among them; and as SeqTR (Zhu et
al., ECCV 2022) has its."""
