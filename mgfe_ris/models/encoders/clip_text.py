"""CLIP's text tower (Radford et al., ICML 2021): words, and one vector for the sentence."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import Text
from ..checkpoints import State, from_clip_text
from ..sentence import STATES, check_state, last_word
from .pretrained import load_pretrained


@MODELS.register_module()
class CLIPTextTower(BaseModule):
    """Token ids -> text, as OpenAI's code has them: every word sees those before it, and padding is not masked.

    ``HFTextEncoder`` knows CLIP's text tower, too. This one reads OpenAI's files and those of CRIS and ETRIS, gives the
    sentence's vector, and its blocks can be run one by one.

    Args:
        width: D, of a word.
        depth: blocks.
        sentence_channels: E, of the sentence's vector; 1024 for RN50, 512 for RN101 and ViT-B/16.
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
        sentence_channels: int = 1024,
        max_tokens: int = 77,
        vocabulary_size: int = 49408,
        head_channels: int = 64,
        sentence: str | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        self.state = check_state(sentence)
        self.out_channels, self.max_tokens, self.vocabulary_size = width, max_tokens, vocabulary_size
        self.token_embedding = nn.Embedding(vocabulary_size, width)
        self.positional_embedding = nn.Parameter(torch.empty(max_tokens, width))
        self.blocks = nn.ModuleList(CLIPBlock(width, head_channels) for _ in range(depth))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, sentence_channels))
        self._init_randomly()

    def _init_randomly(self) -> None:
        width = self.out_channels
        inner = width**-0.5 * (2 * len(self.blocks)) ** -0.5
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        nn.init.normal_(self.text_projection, std=width**-0.5)
        spreads = {'attn.in_proj_weight': width**-0.5, 'attn.out_proj.weight': inner}
        spreads |= {'mlp.0.weight': (2 * width) ** -0.5, 'mlp.2.weight': inner}
        for block in self.blocks:
            for name, std in spreads.items():
                nn.init.normal_(block.get_parameter(name), std=std)

    def init_weights(self) -> None:
        load_pretrained(self, self._convert, may_lack='$')

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        return from_clip_text(checkpoint)

    @property
    def sentence_channels(self) -> int | None:
        """E, the width of the sentence's vector; None, where none is asked for."""
        return {'end': self.text_projection.shape[1], None: None}.get(self.state, self.out_channels)

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
        return last_word(words, mask) @ self.text_projection


class CLIPBlock(nn.Module):
    """x += attention(norm(x));  x += W_2 QuickGELU(W_1 norm(x)), QuickGELU(z) = z sigmoid(1.702 z)."""

    def __init__(self, width: int, head_channels: int = 64):
        super().__init__()
        if width % head_channels:
            raise ValueError(f'a width of {width} is no multiple of head_channels={head_channels}')
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // head_channels, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """x (B, T, D), hidden (T, T), True = not to be seen by the row -> (B, T, D)."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, attn_mask=hidden, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class QuickGELU(nn.Module):
    """z sigmoid(1.702 z), which CLIP's weights were trained with."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.sigmoid(1.702 * z)
