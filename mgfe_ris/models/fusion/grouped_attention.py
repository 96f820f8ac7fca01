"""Grouped attention, as in GARAN: the attention of CGAN (Luo et al., ACM MM 2020) as its authors' later SimREC has it.

It is neither of these systems: of CGAN, the cascade of steps and the loss of the attention maps are not known.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..sentence import mean_word


@MODELS.register_module()
class GroupedAttention(BaseModule):
    """In each group of channels the sentence collects a vector from all pixels, and says how much of it goes to each.

    For pixels V (HW, C) and s, the mean of the words, with q, the K and X split into n groups of d = C / n channels:

        q = W_q s,  K_c = W_c V,  K_d = W_d V,  X = W_v V
        c = dropout(softmax_pixels(K_c q / sqrt(d))) X          collect, a vector of d for each group
        o = sigmoid(K_d q / sqrt(d)) c                          diffuse
        G = LeakyReLU_0.1(BN(W_o o) + V)

    SimREC's code exchanges height and width of o when it joins the groups; here o stays at its pixels. Its map of one
    channel, 3x3 of W_o o, which a loss may supervise, is left out: nothing here would train it.

    Args:
        channels: width C of the stage; G has the same.
        text_channels: width D of the words.
        num_heads: n; 2 as in MCN, by the same authors.
        dropout: of what is collected.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``num_heads``.
    """

    def __init__(
        self,
        channels: int,
        text_channels: int,
        num_heads: int = 2,
        dropout: float = 0.0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if channels % num_heads:
            raise ValueError(f'channels ({channels}) must be a multiple of num_heads ({num_heads})')
        self.groups = (num_heads, channels // num_heads)
        self.scale = self.groups[1] ** -0.5
        self.query = nn.Linear(text_channels, channels)
        self.collect, self.diffuse, self.value, self.output = (nn.Conv2d(channels, channels, 1) for _ in range(4))
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W)."""
        query = self.query(mean_word(words, mask)).unflatten(1, self.groups)[..., None] * self.scale  # (B, n, d, 1)
        collect, diffuse, value = (
            layer(v).flatten(2).unflatten(1, self.groups) for layer in (self.collect, self.diffuse, self.value)
        )
        weights = self.dropout((collect.mT @ query).softmax(2).to(value.dtype))  # (B, n, HW, 1)
        share = (query.mT @ diffuse).sigmoid()  # (B, n, 1, HW)
        o = (value @ weights * share).flatten(1, 2).unflatten(2, v.shape[2:])
        return F.leaky_relu(self.norm(self.output(o)) + v, 0.1)
