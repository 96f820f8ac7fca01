"""The recurrent refinement of RRN (Li et al., CVPR 2018) as a decoder: a ConvLSTM reads the maps, coarsest first."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .map_size import read_map_size, require_map_size
from .one_grid import OneGrid


@MODELS.register_module()
class ConvLSTMHead(BaseModule):
    """Three maps on one grid, through a ConvLSTM, coarsest first; the last h, through a 3x3 convolution, is the logits.

    RRN's sequence is a map with language, then c5, c4, c3 without; here language is in all maps already. The finest
    map of four is not read.

    Args:
        channels: C_i of the maps, finest first; the last three are read.
        map_size: side of the square map that is the third from the end, or its (H, W), in pixels of the map: 1/8 of
            the photo's.
        hidden: width K, 500 in RRN; default C_3 / 2.
        num_classes: 2, background and target.

    Raises:
        ValueError: a ``map_size`` that is none; fewer than three maps.
    """

    def __init__(
        self,
        channels: Sequence[int],
        map_size: int | Sequence[int],
        hidden: int | None = None,
        num_classes: int = 2,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        hidden = hidden or channels[-1] // 2
        self.map_size = read_map_size(map_size)
        self.grid = OneGrid(channels, hidden)
        self.cell = ConvLSTMCell(hidden, self.map_size)
        self.classify = nn.Conv2d(hidden, num_classes, 3, padding=1)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """feats (B, C_i, H_i, W_i), finest first -> logits (B, classes, H, W) of the third map from the end.

        Raises:
            ValueError: that map has another size than ``map_size``.
        """
        require_map_size(self, self.map_size, feats[-3])
        maps = self.grid(feats)
        h = c = torch.zeros_like(maps[0])
        for x in reversed(maps):
            h, c = self.cell(x, h, c)
        return self.classify(h)


class ConvLSTMCell(nn.Module):
    """A ConvLSTM with a 1x1 kernel, peepholes P that have a weight for each pixel, and layer norms over a whole map:

        j, i, f, o = split(W [x, h])
        i = sigmoid(LN(i + P_i c)),  f = sigmoid(LN(f + P_f c) + 1)
        c = f c + i tanh(LN(j))
        o = sigmoid(LN(o + P_o c)),  c = LN(c),  h = o tanh(c)

    The peepholes begin at 0.

    Args:
        channels: K of x, h and c.
        map_size: (H, W) of the maps.
    """

    def __init__(self, channels: int, map_size: tuple[int, int]):
        super().__init__()
        self.gates = nn.Conv2d(2 * channels, 4 * channels, 1)
        self.peep_i, self.peep_f, self.peep_o = (nn.Parameter(torch.zeros(channels, *map_size)) for _ in range(3))
        self.norm_j, self.norm_i, self.norm_f, self.norm_o, self.norm_c = (nn.GroupNorm(1, channels) for _ in range(5))

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x, h, c -> the next h, c; all (B, K, H, W)."""
        j, i, f, o = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        i = self.norm_i(i + self.peep_i * c).sigmoid()
        f = (self.norm_f(f + self.peep_f * c) + 1).sigmoid()
        c = f * c + i * self.norm_j(j).tanh()
        o = self.norm_o(o + self.peep_o * c).sigmoid()
        c = self.norm_c(c)
        return o * c.tanh(), c
