"""Fixed weights: row 1 of Table 7."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class FixedWeight(BaseModule):
    """F = w G' + (1 - w) G.

    Args:
        channels: of the stage; not used.
        weight: w.
    """

    def __init__(self, channels: int, weight: float = 0.5, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.weight = weight

    def forward(self, g: Tensor, refined: Tensor) -> Tensor:
        """G and G', both (B, C, H, W) -> F (B, C, H, W)."""
        return self.weight * refined + (1 - self.weight) * g
