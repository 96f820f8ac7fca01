"""Asymmetric co-attention, after EFN (Feng et al., CVPR 2021, sec. 3.2): row 1 of Table 6."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

POOLED = (1, 3, 6, 8)
"""Height and width of the pooled maps, as asymmetric non-local networks have them (Zhu et al., ICCV 2019)."""


@MODELS.register_module()
class CoAttention(BaseModule):
    """Pixels ask; a pyramid of pooled pixels and the words answer, in one softmax.

        q = W_q G,   M = [pool_1 G, pool_3 G, pool_6 G, pool_8 G, W_l L],   k = W_k M,   v = W_v M
        G' = W_o softmax(q k^T / sqrt(C)) v

    EFN also updates the words by the same affinity and hands them on to its next level. The neck's words are the same
    at all stages, so that half is left out.

    Args:
        channels: width C of the stage.
        text_channels: width D of the words.
    """

    def __init__(self, channels: int, text_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.words = nn.Linear(text_channels, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Conv2d(channels, channels, 1)

    def forward(self, g: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """G (B, C, H, W), words (B, T, D), mask (B, T), True = a word -> G' (B, C, H, W)."""
        pooled = [F.adaptive_avg_pool2d(g, size).flatten(2).mT for size in POOLED]
        memory = torch.cat([*pooled, self.words(words)], dim=1)
        heard = F.pad(mask.bool(), (memory.shape[1] - mask.shape[1], 0), value=True)[:, None]
        q = self.query(g.flatten(2).mT)
        x = F.scaled_dot_product_attention(q, self.key(memory), self.value(memory), heard)
        return self.output(x.mT.unflatten(2, g.shape[2:]))
