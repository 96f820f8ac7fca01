"""Tokenizers of the tokenizers library as transformers' own, made and saved alike by its versions 4 and 5."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import transformers
from tokenizers import Tokenizer

CONFIG = 'tokenizer_config.json'
FIVE = int(transformers.__version__.split('.')[0]) >= 5
"""Whether transformers is of version 5."""


def as_tokenizer(
    kind: str, backend: Tokenizer, words: Mapping[str, int], **marks: str
) -> transformers.PreTrainedTokenizerBase:
    """A tokenizer for which no version of transformers reads a file.

    Args:
        kind: a class of transformers, by which a saved tokenizer is read: ``PreTrainedTokenizerFast``, or one for whose
            files ``backend`` does the same as this class would.
        backend: what splits sentences and looks words up.
        words: that it must know, with their ids.
        marks: as ``pad_token``, ``unk_token``.

    Raises:
        ImportError: this version of transformers makes a tokenizer of other words.
    """
    tokenizer = getattr(transformers, kind)(tokenizer_object=backend, **marks)
    if (held := tokenizer.get_vocab()) != dict(words):
        raise ImportError(
            f'transformers {transformers.__version__} made a {kind} with {len(held)} entries of a vocabulary with '
            f'{len(words)}, so that sentences would be misread; install a version that requirements.txt allows'
        )
    return tokenizer


def save_tokenizer(tokenizer: transformers.PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a tokenizer so that versions 4 and 5 of transformers read it, whichever of them writes.

    Version 5 has other names for the class of any tokenizer and for special tokens beside the usual ones, and reads
    those of version 4, too; and it says how the tokenizer was itself read.
    """
    tokenizer.save_pretrained(folder)
    path = folder / CONFIG
    config = json.loads(path.read_text(encoding='utf-8'))
    for name in ('is_local', 'local_files_only'):
        config.pop(name, None)
    if config.get('tokenizer_class') == 'TokenizersBackend':
        config['tokenizer_class'] = 'PreTrainedTokenizerFast'
    if isinstance(more := config.get('extra_special_tokens'), list):
        del config['extra_special_tokens']
        config['additional_special_tokens'] = more
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + '\n', encoding='utf-8')
