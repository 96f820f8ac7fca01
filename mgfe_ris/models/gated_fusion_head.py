"""The gated bi-directional fusion, "GBFM", of BRINet (Hu et al., CVPR 2020) as a decoder."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .one_grid import OneGrid


@MODELS.register_module()
class GatedFusionHead(BaseModule):
    """Three maps on one grid, b3 the finest, meet from above and from below, in six gates with weights of their own:

        left = gate(gate(b5, b4), gate(b4, b3)),  right = gate(gate(b3, b4), gate(b4, b5))
        logits = W_1x1 ReLU(W_3x3 (left + right))

    BRINet's b_k come from four atrous convolutions at each level, here from ReLU(W x). The finest map of four is not
    read. BRINet's losses of each level are not here.

    Args:
        channels: C_i of the maps, finest first; the last three are read.
        hidden: width K, 1000 in BRINet; default C_3 / 2.
        num_classes: 2, background and target.

    Raises:
        ValueError: fewer than three maps.
    """

    def __init__(
        self, channels: Sequence[int], hidden: int | None = None, num_classes: int = 2, init_cfg: dict | None = None
    ):
        super().__init__(init_cfg)
        hidden = hidden or channels[-1] // 2
        self.grid = OneGrid(channels, hidden)
        self.left, self.right = (nn.ModuleList(Gate(hidden) for _ in range(3)) for _ in range(2))
        self.output = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.classify = nn.Conv2d(hidden, num_classes, 1)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """feats (B, C_i, H_i, W_i), finest first -> logits (B, classes, H, W) of the third map from the end."""
        b3, b4, b5 = self.grid(feats)
        first, second, both = self.left
        left = both(first(b5, b4), second(b4, b3))
        first, second, both = self.right
        right = both(first(b3, b4), second(b4, b5))
        return self.classify(F.relu(self.output(left + right)))


class Gate(nn.Module):
    """gate(a, b) = sigmoid(W_3x3 ReLU(W_1x1 [a, b])) a + b.

    Args:
        channels: K, of a, b and what comes out.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 1)
        self.weigh = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """a and b -> the same shape, (B, K, H, W)."""
        return self.weigh(F.relu(self.join(torch.cat([a, b], dim=1)))).sigmoid() * a + b
