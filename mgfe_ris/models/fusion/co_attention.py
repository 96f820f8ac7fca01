"""Asymmetric co-attention, the ACM of EFN (Feng et al., CVPR 2021, sec. 3.2): row 1 of Table 6."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

POOLED = (1, 3, 6, 8)
"""Height and width of the pooled maps: 110 positions, as asymmetric non-local networks (Zhu et al., ICCV 2019) have."""


@MODELS.register_module()
class CoAttention(BaseModule):
    """Pixels and what each heard of the words ask their pooled selves together, and one affinity updates both.

        E = softmax_words(W_q G (W_k L)^T) W L                                   (HW, C), words at the pixels
        P(X) = [pool_1 X, pool_3 X, pool_6 X, pool_8 X]                          (110, C), hence "asymmetric"
        A = softmax((q_v(G) k_v(P(G))^T + q_l(E) k_l(P(E))^T) / sqrt(d))         (HW, 110), d = C / 2
        V' = W_v A v_v(P(G)),   E' = W_l A v_l(P(E)),   G' = W_o [E', V']

    q, k, v: C -> d; W_v, W_l: d -> C; W_q: C -> C; W_k, W: D -> C; W_o: 2C -> C, a 1x1 convolution. What
    EFN does with this further on, its own fusion of stages and its boundaries, is left out: F takes G' into the next
    stage.

    Args:
        channels: width C of the stage.
        text_channels: width D of the words.
    """

    def __init__(self, channels: int, text_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.pixel_query = nn.Linear(channels, channels)
        self.word_key = nn.Linear(text_channels, channels)
        self.word_value = nn.Linear(text_channels, channels)
        self.visual = _Modality(channels)
        self.language = _Modality(channels)
        self.output = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, g: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """G (B, C, H, W), words (B, T, D), mask (B, T), True = a word -> G' (B, C, H, W)."""
        # -1e4, not -inf: a sentence of only padding must stay finite
        bias = (1 - mask.to(g.dtype))[:, None] * -1e4
        query = self.pixel_query(g.flatten(2).mT)
        e = F.scaled_dot_product_attention(
            query, self.word_key(words).to(g.dtype), self.word_value(words).to(g.dtype), bias, scale=1.0
        )
        (q_v, k_v, v_v), (q_l, k_l, v_l) = self.visual(g), self.language(e.mT.unflatten(2, g.shape[2:]))
        # side by side, the products of both modalities add up, and both are weighed by one softmax
        q, k, v = torch.cat([q_v, q_l], 2), torch.cat([k_v, k_l], 2), torch.cat([v_v, v_l], 2)
        seen, heard = F.scaled_dot_product_attention(q, k, v, scale=q_v.shape[2] ** -0.5).chunk(2, dim=2)
        both = torch.cat([self.language.update(heard), self.visual.update(seen)], dim=2)
        return self.output(both.mT.unflatten(2, g.shape[2:]))


class _Modality(nn.Module):
    """What each of both has of its own: q, k, v to half the width, and W back."""

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, channels // 2)
        self.key = nn.Linear(channels, channels // 2)
        self.value = nn.Linear(channels, channels // 2)
        self.update = nn.Linear(channels // 2, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) -> q (B, HW, C / 2), k and v (B, 110, C / 2)."""
        pooled = torch.cat([F.adaptive_avg_pool2d(x, size).flatten(2).mT for size in POOLED], dim=1)
        return self.query(x.flatten(2).mT), self.key(pooled), self.value(pooled)
