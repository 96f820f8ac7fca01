"""The language gate of LAVT (Yang et al., CVPR 2022, sec. 3.3), which MGFE and DW replace."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class LanguageGate(BaseModule):
    """F = tanh(W2 relu(W1 G)) * G.

    Args:
        channels: width C of the stage.
    """

    def __init__(self, channels: int, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.gate = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, g: Tensor, refined: Tensor | None = None) -> Tensor:
        """G (B, C, H, W) -> F (B, C, H, W).

        Raises:
            ValueError: if a ``refine`` part made G': the gate has no place for it.
        """
        if refined is not None:
            raise ValueError('LanguageGate weighs G alone: set refine=None, or weigh with DynamicWeight')
        return self.gate(g) * g
