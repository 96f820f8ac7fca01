"""Dynamic weight allocation: section 3.2, eqs. 13 to 15."""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class DynamicWeight(BaseModule):
    """F = S * G' + Y * G with element-wise gates S = phi(G'), Y = gamma(G).

    The gates begin open, at about tanh(1) = 0.76, by the bias of their last layers, so that DW starts near the plain
    sum G + G'; the weights begin with PyTorch's own initialisation. The paper does not say how DW begins. LAVT's gate
    begins near 0, but its decoder reads G; here the decoder reads V + F, and gates near 0 would shut language out of
    it, too. Other starts are rows init_1 to init_3 of ``configs/ablations``; ``docs/ablations`` has what they gave.

    Args:
        channels: width C of the stage.
        reduction: the gates' hidden width is C / reduction.
        bias: of the gates' last layers at the start.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``reduction``.
    """

    def __init__(self, channels: int, reduction: int = 4, bias: float = 1.0, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if channels % reduction:
            raise ValueError(f'channels ({channels}) must be a multiple of reduction ({reduction})')
        self.phi = _Gate(channels, channels // reduction, bias)
        self.gamma = _Gate(channels, channels // reduction, bias)

    def forward(self, g: Tensor, refined: Tensor) -> Tensor:
        """G and G', both (B, C, H, W) -> F (B, C, H, W)."""
        return self.phi(refined) * refined + self.gamma(g) * g  # eqs. 13 to 15


class _Gate(nn.Sequential):
    def __init__(self, channels: int, hidden: int, bias: float):
        last = nn.Conv2d(hidden, channels, 1)
        last.bias = nn.Parameter(torch.full((channels,), bias))
        super().__init__(nn.Conv2d(channels, hidden, 1, bias=False), nn.GELU(), last, nn.Tanh())
