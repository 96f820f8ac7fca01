"""Bi-directional attention of BRINet (Hu et al., CVPR 2020), as the paper's code base has it: row 2 of Table 6."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..map_size import read_map_size, require_map_size
from .attend import attend


@MODELS.register_module()
class BidirectionalAttention(BaseModule):
    """Each pixel hears the words, and with what it heard, it looks at all pixels; for x (HW, C), words L (T, D):

        K = W_l L,  H = softmax_words(ReLU(W_1 x) K^T) K                    no scale
        R = softmax_pixels(W_a tanh(W_o H + W_v ReLU(W_2 x)))               (HW, HW), W_a: C -> HW
        G = ReLU(W_5 [R ReLU(W_3 x), H]) + ReLU(W_4 x)

    W_a has a row for each pixel, so the module is tied to one size of map, and R is as large as all pairs of
    pixels: 0.8 GB a photo at 120 x 120.

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
        self.word = nn.Linear(text_channels, channels)
        self.pixel_query = nn.Linear(channels, channels)
        self.pixel_key = nn.Linear(channels, channels)
        self.pixel_value = nn.Linear(channels, channels)
        self.shortcut = nn.Linear(channels, channels)
        self.score_heard = nn.Linear(channels, channels)
        self.score_seen = nn.Linear(channels, channels)
        self.score = nn.Linear(channels, self.map_size[0] * self.map_size[1])
        self.output = nn.Linear(2 * channels, channels)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W).

        Raises:
            ValueError: a map of another size than ``map_size``.
        """
        require_map_size(self, self.map_size, v)
        x = v.flatten(2).mT.expand(words.shape[0], -1, -1)
        heard = attend(F.relu(self.pixel_query(x)), self.word(words), mask, scale=1.0)
        scores = self.score(torch.tanh(self.score_heard(heard) + self.score_seen(F.relu(self.pixel_key(x)))))
        seen = scores.softmax(-1).to(heard.dtype) @ F.relu(self.pixel_value(x)).to(heard.dtype)
        g = F.relu(self.output(torch.cat([seen, heard], dim=2))) + F.relu(self.shortcut(x))
        return g.mT.unflatten(2, self.map_size)
