"""CLIP's text tower (Radford et al., ICML 2021): words, and one vector for the sentence."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import Text
from ..clip_checkpoints import from_clip_text
from ..renaming import State
from ..sentence import STATES, check_state, last_word
from .clip_block import CLIPBlock, init_blocks
from .pretrained import load_pretrained


@MODELS.register_module()
class CLIPTextTower(BaseModule):
    """Token ids -> text, as OpenAI's code has them: every word sees those before it, and padding is not masked.

    ``HFTextEncoder`` knows CLIP's text tower, too. This one reads OpenAI's files and those of CRIS and ETRIS, gives the
    sentence's vector, and its blocks can be run one by one.

    Args:
        width: D, of a word.
        depth: blocks.
        sentence_channels: E, of the sentence's vector; 1024 for RN50, 512 for RN101 and ViT-B/16. None: no
            projection, for models that read words alone.
        max_tokens: places for tokens.
        vocabulary_size: ids.
        head_channels: of a head; 64 in CLIP.
        sentence: the sentence's vector: ``'end'``, the last word, projected as in CLIP; ``'mean'`` of the words or the
            ``'first'``, both as they are; None: it is not computed.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of OpenAI, of CRIS or ETRIS, or of Hugging
            Face's CLIP.
    """

    padding = None
    """The row of padding is trained as any other."""

    def __init__(
        self,
        width: int = 512,
        depth: int = 12,
        sentence_channels: int | None = 1024,
        max_tokens: int = 77,
        vocabulary_size: int = 49408,
        head_channels: int = 64,
        sentence: str | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.state = check_state(sentence)
        if sentence == 'end' and sentence_channels is None:
            raise ValueError(
                "text_encoder.sentence='end' is projected: give sentence_channels, the width of the vector"
            )
        self.out_channels, self.max_tokens, self.vocabulary_size = width, max_tokens, vocabulary_size
        self.token_embedding = nn.Embedding(vocabulary_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(max_tokens, width))
        self.blocks = nn.ModuleList(CLIPBlock(width, head_channels) for _ in range(depth))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = None
        if sentence_channels is not None:
            self.text_projection = nn.Parameter(torch.randn(width, sentence_channels) * width**-0.5)
        self._init_randomly()

    def _init_randomly(self) -> None:
        width = self.out_channels
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        init_blocks(self.blocks, width)

    def init_weights(self) -> None:
        load_pretrained(self, self._convert, may_lack='$')

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        state = from_clip_text(checkpoint)
        return state if self.text_projection is not None else {k: v for k, v in state.items() if k != 'text_projection'}

    @property
    def sentence_channels(self) -> int | None:
        """E, the width of the sentence's vector; None, where none is asked for."""
        if self.state == 'end' and self.text_projection is not None:
            return self.text_projection.shape[1]
        return None if self.state is None else self.out_channels

    def forward(self, ids: Tensor, mask: Tensor) -> Text:
        """ids (B, T), T at most ``max_tokens``, mask (B, T), which the words do not depend on -> words (B, T, D), and
        the sentence, if it is asked for."""
        x, causal = self.embed(ids)
        for block in self.blocks:
            x = block(x, causal)
        words = self.ln_final(x)
        return Text(words, mask, None if self.state is None else self.sentence(words, mask))

    def embed(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, T) -> what goes into the first block (B, T, D), and what no word may see (T, T), True = hidden."""
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        return x, torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)

    def sentence(self, words: Tensor, mask: Tensor) -> Tensor:
        """words (B, T, D), mask (B, T), True = a word -> the sentences (B, E); ``'end'`` where none is asked for."""
        if self.state in ('mean', 'first'):
            return STATES[self.state](words, mask)
        if self.text_projection is None:
            raise ValueError('a CLIPTextTower with sentence_channels=None has no projection of sentences')
        return last_word(words, mask) @ self.text_projection
