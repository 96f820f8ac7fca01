"""Squeeze and excitation (Hu et al., CVPR 2018): row 3 of Table 7."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class SqueezeExcitation(BaseModule):
    """F = s X with X = G + G' and s = sigmoid(W_2 relu(W_1 mean_pixels(X))), one weight for each channel.

    The channels begin open, at about sigmoid(1) = 0.73, as those of DW do.

    Args:
        channels: width C of the stage.
        reduction: the hidden width is C / reduction; theirs is 16, here 4 as in DW.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``reduction``.
    """

    def __init__(self, channels: int, reduction: int = 4, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if channels % reduction:
            raise ValueError(f'channels ({channels}) must be a multiple of reduction ({reduction})')
        last = nn.Conv2d(channels // reduction, channels, 1)
        last.bias = nn.Parameter(torch.ones(channels))
        self.excite = nn.Sequential(nn.Conv2d(channels, channels // reduction, 1), nn.ReLU(), last, nn.Sigmoid())

    def forward(self, g: Tensor, refined: Tensor) -> Tensor:
        """G and G', both (B, C, H, W) -> F (B, C, H, W)."""
        x = g + refined
        return self.excite(x.mean((2, 3), keepdim=True)) * x
