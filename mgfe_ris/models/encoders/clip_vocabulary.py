"""CLIP's tokenizer out of the vocabulary file that OpenAI published, and of sentences as OpenAI's code cleans them."""

import gzip
import html
import json
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import transformers

FILE, CLIP_SUFFIX = 'bpe_simple_vocab_16e6.txt.gz', '.txt.gz'
MERGES = 49152 - 256 - 2
"""Of the 262,144 pairs in the file, those that CLIP reads."""


def read_clip_vocabulary(path: str | Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of 49,408 tokens, for sentences that :func:`clean` returns.

    Raises:
        ValueError: the file is another one, or not whole.
    """
    try:
        lines = gzip.decompress(Path(path).read_bytes()).decode().split('\n')
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ValueError(f'{path}: not the vocabulary {FILE} that OpenAI published with CLIP ({error})') from error
    pairs = lines[1 : MERGES + 1]
    if len(pairs) < MERGES or any(pair.count(' ') != 1 for pair in pairs):
        raise ValueError(f'{path}: not the vocabulary {FILE} that OpenAI published with CLIP: too few pairs of tokens')
    letters = list(_letters_of_bytes().values())
    tokens = [*letters, *(f'{letter}</w>' for letter in letters), *(pair.replace(' ', '') for pair in pairs)]
    tokens += ['<|startoftext|>', '<|endoftext|>']
    with TemporaryDirectory() as folder:  # Hugging Face's tokenizer reads files alone
        vocabulary, merges = Path(folder, 'vocab.json'), Path(folder, 'merges.txt')
        vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding='utf-8')
        merges.write_text('\n'.join(['#version: 0.2', *pairs]), encoding='utf-8')
        return transformers.CLIPTokenizerFast(str(vocabulary), str(merges))


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
