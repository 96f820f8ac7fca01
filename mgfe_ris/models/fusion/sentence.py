"""LAVT's ablation that has one vector for a sentence, the mean of its words, and nothing else."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..sentence import mean_word


@MODELS.register_module()
class PooledSentence(BaseModule):
    """The sentence as one vector s, the mean of its words, the same at every pixel: LAVT without its attention.

        G = GELU(W_m (GELU(W_v V) * W_s s))

    It is :class:`PixelWordAttention` with one word for all, less its norms: of a vector that all pixels share, an
    instance norm leaves 0.

    Args:
        channels: width C of the visual stage; G has the same.
        text_channels: width D of the words.
    """

    def __init__(self, channels: int, text_channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.sentence = nn.Linear(text_channels, channels)
        self.visual = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W)."""
        language = self.sentence(mean_word(words, mask))[..., None, None]
        return F.gelu(self.project(F.gelu(self.visual(v)) * language))
