"""A 1x1 convolution's attention map: row 2 of Table 7."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class ConvAttention(BaseModule):
    """F = A G' + (1 - A) G with one weight for each pixel, A = sigmoid(w [G', G] + b).

    The paper says no more than "one kernel makes the map"; w and b begin at 0, which is A = 0.5, the fixed weights.

    Args:
        channels: width C of the stage.
    """

    def __init__(self, channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.map = nn.Conv2d(2 * channels, 1, 1)
        for parameter in self.map.parameters():
            nn.init.zeros_(parameter)

    def forward(self, g: Tensor, refined: Tensor) -> Tensor:
        """G and G', both (B, C, H, W) -> F (B, C, H, W)."""
        a = self.map(torch.cat([refined, g], dim=1)).sigmoid()
        return a * refined + (1 - a) * g
