"""BERT's tokenizer out of a list of word pieces."""

from __future__ import annotations

from pathlib import Path

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from .fast_tokenizer import as_tokenizer

START, END, UNKNOWN = '[CLS]', '[SEP]', '[UNK]'


def read_word_pieces(path: str | Path) -> transformers.PreTrainedTokenizerBase:
    """The tokenizer of a file with a piece on each line, its id the number of the line, BERT's marks among them."""
    words = {word: i for i, word in enumerate(Path(path).read_text(encoding='utf-8').splitlines())}
    backend = Tokenizer(models.WordPiece(words, unk_token=UNKNOWN))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single=f'{START}:0 $A:0 {END}:0',
        pair=f'{START}:0 $A:0 {END}:0 $B:1 {END}:1',
        special_tokens=[(mark, words[mark]) for mark in (START, END)],
    )
    return as_tokenizer('BertTokenizerFast', backend, words)
