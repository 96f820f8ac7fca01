"""Bi-directional cross-modal attention, after BRINet (Hu et al., CVPR 2020, sec. 3.2): row 2 of Table 6."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class BidirectionalAttention(BaseModule):
    """Each pixel asks the words, and with what it heard, it asks the pixels.

        e = softmax_words((W_1 G) (W_2 L)^T / sqrt(C)) W_3 L          vision-guided words
        c = softmax_pixels((W_4 e) (W_5 P)^T / sqrt(C)) W_6 P         language-guided pixels, P = pool(G)
        G' = W_o [c, e]

    BRINet itself scores pixels by softmax(W_a tanh(W_q e + W_v P)), with weights tied to a map of 40 x 40; here it is a
    scaled product, which knows no size. Its gated fusion across levels (GBFM) and the "iterative" of the paper's row
    are left out. The pixels that answer are pooled, as in the journal version (Feng et al., TNNLS 2021), to as many as
    MGFE's.

    Args:
        channels: width C of the stage.
        text_channels: width D of the words.
        pool_size: kernel and stride of the average pool.
    """

    def __init__(self, channels: int, text_channels: int, pool_size: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.pool_size = pool_size
        self.pixel_query = nn.Linear(channels, channels)
        self.word_key = nn.Linear(text_channels, channels)
        self.word_value = nn.Linear(text_channels, channels)
        self.word_query = nn.Linear(channels, channels)
        self.pixel_key = nn.Linear(channels, channels)
        self.pixel_value = nn.Linear(channels, channels)
        self.output = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, g: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """G (B, C, H, W), words (B, T, D), mask (B, T), True = a word -> G' (B, C, H, W)."""
        # -1e4, not -inf: a sentence of only padding must stay finite
        bias = (1 - mask.to(g.dtype))[:, None] * -1e4
        pixels = g.flatten(2).mT
        heard = F.scaled_dot_product_attention(
            self.pixel_query(pixels), self.word_key(words).to(g.dtype), self.word_value(words).to(g.dtype), bias
        )
        pooled = F.avg_pool2d(g, self.pool_size, ceil_mode=True).flatten(2).mT
        seen = F.scaled_dot_product_attention(self.word_query(heard), self.pixel_key(pooled), self.pixel_value(pooled))
        return self.output(torch.cat([seen, heard], dim=2).mT.unflatten(2, g.shape[2:]))
