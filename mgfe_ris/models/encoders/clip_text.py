"""CLIP's text tower (Radford et al., ICML 2021): words, and one vector for the sentence."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..checkpoints import State, from_clip_text
from .clip_block import CLIPBlock, init_blocks
from .pretrained import load_pretrained


@MODELS.register_module()
class CLIPTextTower(BaseModule):
    """Token ids -> words, as OpenAI's code has them: every word sees those before it, and padding is not masked.

    ``HFTextEncoder`` knows CLIP's text tower, too. This one reads OpenAI's files and those of CRIS and ETRIS, gives the
    sentence's vector, and its blocks can be run one by one.

    Args:
        width: D, of a word.
        depth: blocks.
        sentence_channels: E, of the sentence's vector; 1024 for RN50, 512 for RN101 and ViT-B/16. None: words alone.
        max_tokens: places for tokens.
        vocabulary_size: ids.
        head_channels: of a head; 64 in CLIP.
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
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.out_channels, self.max_tokens, self.vocabulary_size = width, max_tokens, vocabulary_size
        self.sentence_channels = sentence_channels
        self.token_embedding = nn.Embedding(vocabulary_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(max_tokens, width))
        self.blocks = nn.ModuleList(CLIPBlock(width, head_channels) for _ in range(depth))
        self.ln_final = nn.LayerNorm(width)
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
        return state if self.sentence_channels else {k: v for k, v in state.items() if k != 'text_projection'}

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, T), T at most ``max_tokens`` -> words (B, T, D). ``mask`` is not read."""
        x, causal = self.embed(ids)
        for block in self.blocks:
            x = block(x, causal)
        return self.ln_final(x)

    def embed(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, T) -> what goes into the first block (B, T, D), and what no word may see (T, T), True = hidden."""
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        return x, torch.ones(length, length, dtype=torch.bool, device=ids.device).triu(1)

    def sentence(self, words: Tensor, mask: Tensor) -> Tensor:
        """words (B, T, D), mask (B, T), True = a word -> the sentences (B, E): what the last word says, projected.

        That is the end mark, which has seen all others. CLIP's authors look for it by its id, the highest one there is.
        """
        last = mask.sum(1) - 1
        return words[torch.arange(words.shape[0], device=words.device), last] @ self.text_projection
