"""Asymmetric co-attention of EFN (Feng et al., CVPR 2021), as the paper's code base has it: row 1 of Table 6."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..sentence import mean_word
from .attend import attend
from .pixel_word_attention import InstanceNorm


@MODELS.register_module()
class CoAttention(BaseModule):
    """Pixels with the sentence, and words at the pixels, ask each other; for x (HW, C), words L (T, D), s their mean:

        M = GELU(W [x, s]),  K = GELU(W_l L)                        (HW, C), (T, C)
        H = softmax_words(M K^T / sqrt(C)) K                        words at the pixels
        q = InstanceNorm(W_q M),  k = InstanceNorm(W_k H)           pooled 2 x 2 above ``pool_above``
        S = q k^T / sqrt(C),  A = softmax_columns(S) k,  B = softmax_rows(S)^T q
        G = InstanceNorm(conv_3 [A, B])                             along the positions, row by row; then up-sampled

    The code base takes square maps, and even ones where it pools; here any size will do: a last row or column
    that has no partner is pooled alone.

    Args:
        channels: width C of the stage; G has the same.
        text_channels: width D of the words.
        pool_above: maps of more positions are pooled; 225 are the 15 x 15 of the last stage at 480 px.
    """

    def __init__(self, channels: int, text_channels: int, pool_above: int = 225, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.pool_above = pool_above
        self.pixel_sentence = nn.Linear(channels + text_channels, channels)
        self.word = nn.Linear(text_channels, channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.output = nn.Conv1d(2 * channels, channels, 3, padding=1)
        self.norm = InstanceNorm(channels)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W)."""
        size = v.shape[2:]
        pixels = v.flatten(2).mT.expand(words.shape[0], -1, -1)
        sentence = mean_word(words, mask)[:, None].expand(-1, pixels.shape[1], -1)
        m = F.gelu(self.pixel_sentence(torch.cat([pixels, sentence.to(pixels.dtype)], dim=2)))
        k = F.gelu(self.word(words)) * mask.to(words.dtype)[..., None]
        h = attend(m, k, mask)
        q, k = (self.norm(part.mT.unflatten(2, size)) for part in (self.query(m), self.key(h)))
        pooled = size[0] * size[1] > self.pool_above
        if pooled:
            q, k = (F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (q, k))
        small = q.shape[2:]
        q, k = q.flatten(2).mT.contiguous(), k.flatten(2).mT.contiguous()
        g = self.output(torch.cat([attend(q, k), attend(k, q)], dim=2).mT)
        g = self.norm(g.unflatten(2, small))
        return F.interpolate(g, size, mode='bilinear', align_corners=False) if pooled else g
