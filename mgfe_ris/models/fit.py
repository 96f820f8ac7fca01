"""Whether the parts of a model fit one another: seen when it is built, not at the first batch, or never."""

from collections.abc import Mapping, Sequence
from typing import Any

from .encoders.text import HFTextEncoder, HFTokenizer


def check_text(tokenizer: HFTokenizer, text_encoder: Any, neck: Mapping[str, Any]) -> None:
    """Compare what the tokenizer writes with what the text encoder reads, and its words with what the neck expects.

    A part that does not say a number, as one of another project may not, is not compared in it.

    Args:
        tokenizer: of the preprocessor.
        text_encoder: may have ``vocabulary_size``, ``max_tokens``, ``padding`` (id of a row of its table that is not
            trained), ``out_channels``, and ``require_tokenizer``, as :class:`HFTextEncoder`.
        neck: its config; may have ``text_channels``.

    Raises:
        ValueError: what does not fit, with both sides.
    """
    name, words = type(text_encoder).__name__, type(tokenizer.tokenizer).__name__
    if hasattr(text_encoder, 'require_tokenizer'):
        text_encoder.require_tokenizer(tokenizer)
    size, entries = getattr(text_encoder, 'vocabulary_size', None), max(tokenizer.tokenizer.get_vocab().values()) + 1
    if size is not None and entries > size:
        setting = 'config.vocab_size' if isinstance(text_encoder, HFTextEncoder) else 'vocabulary_size'
        raise ValueError(
            f'the tokenizer ({words}) has ids up to {entries - 1}, the vocabulary of {name} has {size} entries: set '
            f'text_encoder.{setting}={entries}, or name the tokenizer that the encoder was trained with'
        )
    padding, pad = getattr(text_encoder, 'padding', None), tokenizer.pad_id
    if padding is not None and padding != pad:
        raise ValueError(
            f'the tokenizer ({words}) pads with id {pad}, {name} with id {padding}: its weights know ids of another '
            'family. Let data_preprocessor.tokenizer.pretrained name the tokenizer that they were trained with; for '
            f'random weights, set text_encoder.config.pad_token_id={pad}'
        )
    longest = getattr(text_encoder, 'max_tokens', None)
    if longest is not None and tokenizer.max_tokens > longest:
        setting = 'config.max_position_embeddings' if isinstance(text_encoder, HFTextEncoder) else 'max_tokens'
        raise ValueError(
            f'tokenizer.max_tokens={tokenizer.max_tokens}, but {name} has positions for {longest} tokens: lower '
            f'max_tokens, or raise text_encoder.{setting}'
        )
    width, expected = getattr(text_encoder, 'out_channels', None), neck.get('text_channels')
    if None not in (width, expected) and width != expected:
        raise ValueError(f'the words of {name} have {width} channels, neck.text_channels is {expected}')


def check_channels(encoder: Any, neck: Mapping[str, Any], decode_head: Mapping[str, Any]) -> None:
    """Compare the widths of the encoder's stages, if it says them in ``out_channels``, with those of neck and decoder.

    Raises:
        ValueError: they differ; both sides are named.
    """
    widths = {
        f'the stages of {type(encoder).__name__}': getattr(encoder, 'out_channels', None),
        'neck.channels': neck.get('channels'),
        'decode_head.channels': decode_head.get('channels'),
    }
    told = [(name, list(given)) for name, given in widths.items() if isinstance(given, Sequence)]
    for name, given in told[1:]:
        if given != told[0][1]:
            raise ValueError(f'{told[0][0]} are {told[0][1]} channels wide, {name} {given}: expected the same')
