"""One vector for a sentence, out of its words."""

import torch
from torch import Tensor


def mean_word(words: Tensor, mask: Tensor) -> Tensor:
    """words (B, T, D), mask (B, T), True = a word -> (B, D), the mean of the real words; 0 where there is none."""
    keep = mask.to(words.dtype)[..., None]
    return (words * keep).sum(1) / keep.sum(1).clamp(min=1)


def first_word(words: Tensor, mask: Tensor) -> Tensor:
    """words (B, T, D) -> (B, D), the first: the mark of the start, in which BERT gathers the sentence."""
    return words.select(1, 0)  # [:, 0] is the same, but in a graph of torch 2.7 a limit of the batch


def last_word(words: Tensor, mask: Tensor) -> Tensor:
    """words (B, T, D), mask (B, T), True = a word -> (B, D), the last real one: the mark of the end, which in CLIP has
    seen all others. CLIP's authors look for it by its id, the highest one there is."""
    # shape, not len: an exported graph would hold it for a constant
    return words[torch.arange(words.shape[0], device=words.device), mask.sum(1) - 1]


STATES = {'mean': mean_word, 'first': first_word, 'end': last_word}
"""How a sentence's one vector comes of its words, by the name that configs have for it."""


def check_state(name: str | None) -> str | None:
    """Gives it back, or raises a ValueError where it is neither None nor one of :data:`STATES`."""
    if name is not None and name not in STATES:
        raise ValueError(f'text_encoder.sentence must be None or one of {list(STATES)}; got {name!r}')
    return name
