"""CLIP's tokenizer out of the vocabulary file that OpenAI published, and of sentences as OpenAI's code cleans them."""

from __future__ import annotations

import gzip
import html
import re
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from .fast_tokenizer import as_tokenizer

FILE, CLIP_SUFFIX = 'bpe_simple_vocab_16e6.txt.gz', '.txt.gz'
MERGES = 49152 - 256 - 2
"""Of the 262,144 pairs in the file, those that CLIP reads."""
START, END = '<|startoftext|>', '<|endoftext|>'


def read_clip_vocabulary(path: str | Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of 49,408 tokens, for sentences that :func:`clean` returns.

    Raises:
        ValueError: the file is another one, or not whole.
    """
    try:
        lines = gzip.decompress(Path(path).read_bytes()).decode().split('\n')
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: not the vocabulary {FILE} that OpenAI published with CLIP ({error})') from error
    pairs: list[Any] = [tuple(line.split(' ')) for line in lines[1 : MERGES + 1]]
    if len(pairs) < MERGES or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f'{path}: not the vocabulary {FILE} that OpenAI published with CLIP: too few pairs of tokens')
    letters = list(_letters_of_bytes().values())
    tokens = [*letters, *(f'{letter}</w>' for letter in letters), *map(''.join, pairs), START, END]
    ids = {token: i for i, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(ids, pairs, unk_token=END, end_of_word_suffix='</w>'))
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r'\s+'), ' '), normalizers.Lowercase()]
    )
    # into words, ends such as 's, single digits and what is between them, of all of which the bytes are tokens
    parts = pre_tokenizers.Split(
        Regex(r"""'(?:[stmd]|re|ve|ll)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"""), 'removed', invert=True
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([parts, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.post_processor = processors.RobertaProcessing(
        (END, ids[END]), (START, ids[START]), trim_offsets=False, add_prefix_space=False
    )
    marks = dict(bos_token=START, eos_token=END, unk_token=END, pad_token=END)
    return as_tokenizer('CLIPTokenizerFast', backend, ids, **marks)


def clean(sentence: str) -> str:
    """As OpenAI's code does: broken and typographic characters mended, entities of HTML read, in lower case."""
    import ftfy  # here: whoever does without CLIP's own vocabulary does without it

    text = html.unescape(html.unescape(ftfy.fix_text(sentence))).strip()
    return re.sub(r'\s+', ' ', text).strip().lower()


def _letters_of_bytes() -> dict[int, str]:
    """Every byte as a letter that can be seen: itself, where it can be, else one of those from 256 on."""
    seen = [*range(ord('!'), ord('~') + 1), *range(ord('¡'), ord('¬') + 1), *range(ord('®'), ord('ÿ') + 1)]
    hidden = [byte for byte in range(256) if byte not in seen]
    return {**{byte: chr(byte) for byte in seen}, **{byte: chr(256 + i) for i, byte in enumerate(hidden)}}
