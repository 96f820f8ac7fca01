"""Bi-directional cross-modal attention, "BCAM", of BRINet (Hu et al., CVPR 2020), as its own code has it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..map_size import read_map_size, require_map_size
from .attend import attend


@MODELS.register_module()
class CrossModalAttention(BaseModule):
    """Each pixel hears the words (VLAM); what was heard says which pixels go to which (LVAM). For x (HW, C), words
    L (T, D), and R_n(x) = ReLU(W_n x + b_n):

        S = softmax_words(R_1(x) L^T) L                             (HW, D), no scale
        H = tanh(W_q S + W_v R_2(x))                                (HW, C / 2), no bias
        E_ij = softmax_j(a_i . H_j)                                 (HW, HW), a row of W_a for each pixel i
        O_j = sum_i E_ij R_3(x)_i
        G = ReLU(W_o [O, S] + b_o) + R_4(x)

    As in the authors' code, the rows of E sum to one, not what a pixel j gets. :class:`BidirectionalAttention` is the
    same idea as LAVT-RS has it, and differs in that, in a key of the words, and in the width of H. BRINet has C = D =
    1000, and at three levels this, four atrous convolutions and a gated fusion, see :class:`GatedFusionHead`.

    W_a ties the module to one size of map, and E is as large as all pairs of pixels: 0.8 GB a photo at 120 x 120.

    Args:
        channels: width C of the stage; G has the same.
        text_channels: width D of the words.
        map_size: side of the stage's square map, or its (H, W), in pixels of the map.

    Raises:
        ValueError: a ``map_size`` that is none.
    """

    def __init__(self, channels: int, text_channels: int, map_size: int | Sequence[int], init_cfg: dict | None = None):
        super().__init__(init_cfg)
        self.map_size = read_map_size(map_size)
        hidden = channels // 2
        self.query = nn.Linear(channels, text_channels)
        self.key, self.value, self.shortcut = (nn.Linear(channels, channels) for _ in range(3))
        self.score_heard = nn.Linear(text_channels, hidden, bias=False)
        self.score_seen = nn.Linear(channels, hidden, bias=False)
        self.score = nn.Linear(hidden, self.map_size[0] * self.map_size[1], bias=False)
        self.output = nn.Linear(channels + text_channels, channels)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W).

        Raises:
            ValueError: a map of another size than ``map_size``.
        """
        require_map_size(self, self.map_size, v)
        x = v.flatten(2).mT.expand(words.shape[0], -1, -1)
        heard = attend(F.relu(self.query(x)), words, mask, scale=1.0)
        hidden = torch.tanh(self.score_heard(heard) + self.score_seen(F.relu(self.key(x))))
        # (B, j, i): the softmax is over j, which O keeps, not over i, of which it is the sum
        weights = self.score(hidden).softmax(1).to(heard.dtype)
        seen = weights @ F.relu(self.value(x)).to(heard.dtype)
        g = F.relu(self.output(torch.cat([seen, heard], dim=2))) + F.relu(self.shortcut(x))
        return g.mT.unflatten(2, self.map_size)
