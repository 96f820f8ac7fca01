"""The words that a training said, kept beside its weights: what a model that learned its words there alone can know."""

import re
from collections.abc import Iterable
from pathlib import Path
from unicodedata import normalize

from .output_files import whole_file

WORDS = 'training_words.txt'


def words_of(sentence: str) -> list[str]:
    """In lower case and in their order, without marks of punctuation: ``man's`` is ``man`` and ``s``."""
    return re.findall(r'\w+', normalize('NFKC', sentence).lower())


def write_words(words: Iterable[str], folder: str | Path) -> None:
    """``training_words.txt`` in a folder, a word in each line, by the alphabet."""
    with whole_file(Path(folder, WORDS)) as part:
        part.write_text(''.join(f'{word}\n' for word in sorted(set(words))), encoding='utf-8')


def read_words(folder: str | Path) -> frozenset[str] | None:
    """What :func:`write_words` left in a folder; None: nothing.

    Raises:
        ValueError: the file is not in UTF-8.
    """
    path = Path(folder, WORDS)
    return read_word_file(path) if path.is_file() else None


def read_word_file(path: str | Path) -> frozenset[str]:
    """Words, with blanks or ends of lines between.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not in UTF-8.
    """
    try:
        return frozenset(Path(path).read_text(encoding='utf-8').split())
    except UnicodeDecodeError as error:
        raise ValueError(f'{path}: not a list of words in UTF-8 ({error})') from error
