"""Gather and distribute: double attention (Chen et al., A2-Nets, NeurIPS 2018), the "GACD" of Table 6."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class DoubleAttention(BaseModule):
    """G' = W_o (A softmax_pixels(B)^T) softmax_gathered(D), with A, B, D three 1x1 convolutions of G.

    Each of C / reduction attention maps B gathers one vector from the whole map (their eq. 4); each pixel then takes
    its own mixture D of what was gathered (their eq. 5). Their residual is not here: G enters F beside G' anyway.

    Args:
        channels: width C of the stage.
        reduction: C / reduction maps gather, and as many channels are gathered.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``reduction``.
    """

    def __init__(self, channels: int, reduction: int = 4, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if channels % reduction:
            raise ValueError(f'channels ({channels}) must be a multiple of reduction ({reduction})')
        hidden = channels // reduction
        self.feature = nn.Conv2d(channels, hidden, 1)
        self.gather = nn.Conv2d(channels, hidden, 1)
        self.distribute = nn.Conv2d(channels, hidden, 1)
        self.output = nn.Conv2d(hidden, channels, 1)

    def forward(self, g: Tensor, words: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """G (B, C, H, W) -> G' (B, C, H, W); words and mask are not read."""
        feature = self.feature(g).flatten(2)
        gathered = feature @ self.gather(g).flatten(2).softmax(-1).mT  # (B, hidden, hidden)
        mixed = gathered @ self.distribute(g).flatten(2).softmax(1)
        return self.output(mixed.unflatten(2, g.shape[2:]))
