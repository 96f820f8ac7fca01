"""Attention that a sentence collects and diffuses, "GACD" in row 3 of Table 6, as the paper's code base has it.

The idea is the grouped attention of CGAN (Luo et al., ACM MM 2020), with one group, on features of both modalities.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..sentence import mean_word


@MODELS.register_module()
class CollectDiffuseAttention(BaseModule):
    """The sentence collects one vector from all pixels, and says how much of it goes to each; for x (HW, C), s the mean
    of the words:

        l = W'' ReLU(W' s),  x' = ReLU(W (l * x))
        a = softmax_pixels(W_q l . W_c x' / sqrt(C))       collect
        d = sigmoid(W_q l . W_d x' / sqrt(C))              diffuse, a number for each pixel
        G = x' + d (a W_v x')

    Args:
        channels: width C of the stage; G has the same.
        text_channels: width D of the words.
    """

    def __init__(self, channels: int, text_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.scale = channels**-0.5
        self.sentence = nn.Sequential(nn.Linear(text_channels, channels), nn.ReLU(), nn.Linear(channels, channels))
        self.join = nn.Linear(channels, channels)
        self.query = nn.Linear(channels, channels)
        self.collect = nn.Linear(channels, channels)
        self.diffuse = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W)."""
        sentence = self.sentence(mean_word(words, mask))[:, None]
        x = F.relu(self.join(sentence * v.flatten(2).mT))
        query = self.query(sentence) * self.scale
        collected = (query @ self.collect(x).mT).softmax(-1).to(x.dtype) @ self.value(x)  # (B, 1, C)
        share = (self.diffuse(x) @ query.mT).sigmoid()  # (B, HW, 1)
        return (x + share * collected).mT.unflatten(2, v.shape[2:])
