"""The language gate of LAVT (Yang et al., CVPR 2022, sec. 3.3), which MGFE and DW replace."""

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

_ACTIVATIONS = {'tanh': nn.Tanh, 'sigmoid': nn.Sigmoid}


@MODELS.register_module()
class LanguageGate(BaseModule):
    """F = tanh(W2 relu(W1 G)) * G. W1 and W2 begin as the official ones, with a standard deviation of 0.02.

    Args:
        channels: width C of the stage.
        activation: ``'tanh'``, or ``'sigmoid'`` as in a row of LAVT's own ablation.
        std: of W1 and W2 at the beginning. 0 as in ReLA: their gradients then are 0, too, and stay so.

    Raises:
        ValueError: another activation.
    """

    def __init__(self, channels: int, activation: str = 'tanh', std: float = 0.02, init_cfg: dict | None = None):
        super().__init__(init_cfg)
        if activation not in _ACTIVATIONS:
            raise ValueError(f'activation must be one of {list(_ACTIVATIONS)}; got {activation!r}')
        first, last = (nn.Conv2d(channels, channels, 1, bias=False) for _ in range(2))
        self.gate = nn.Sequential(first, nn.ReLU(), last, _ACTIVATIONS[activation]())
        for layer in (first, last):
            if std:
                nn.init.trunc_normal_(layer.weight, std=std)
            else:
                nn.init.zeros_(layer.weight)

    def forward(self, g: Tensor, refined: Tensor | None = None) -> Tensor:
        """G (B, C, H, W) -> F (B, C, H, W).

        Raises:
            ValueError: if a ``refine`` part made G': the gate has no place for it.
        """
        if refined is not None:
            raise ValueError('LanguageGate weighs G alone: set refine=None, or weigh with DynamicWeight')
        return self.gate(g) * g
