"""ETRIS's neck (ICCV 2023), which BarLeRIa has, too: the sentence weighs the channels of three maps, which become one.

The authors write each gate as attention of the pixels to the sentence. Over one key the softmax is 1, so that every
pixel hears the same: a factor for each channel. Queries and keys change nothing and are not computed.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pixel_decoder import conv_norm, with_coordinates


class SentenceGatedNeck(nn.Module):
    """Three maps of a photo and the vector of its sentence -> one map, of the second map's size where strides fit.

    Args:
        in_channels: of the three maps.
        channels: D, of what comes out.
        sentence_channels: E.
        strides: how much smaller the first and the second map become, and how much larger the third: (2, 1, 2) for
            maps of strides 8, 16, 32; (1, 1, 1) for those of a plain transformer.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, sentence_channels: int, strides: Sequence[int] = (2, 1, 2)
    ):
        super().__init__()
        (in3, in4, in5), (s3, s4, s5) = in_channels, strides
        self.txt_proj = nn.Linear(sentence_channels, channels)
        self.f3_proj, self.f4_proj = conv_norm(in3, channels, s3, s3), conv_norm(in4, channels, s4, s4)
        larger = nn.ConvTranspose2d(in5, channels, s5, s5, bias=False)
        self.f5_proj = nn.Sequential(larger, nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
        self.fusion3, self.fusion4, self.fusion5 = (SentenceGate(channels) for _ in range(3))
        self.aggr = conv_norm(3 * channels, channels, 1)
        self.coordconv = nn.Sequential(conv_norm(channels + 2, channels, 3), conv_norm(channels, channels, 3))

    def forward(self, feats: Sequence[Tensor], sentence: Tensor) -> Tensor:
        """feats (B or 1, C_i, H_i, W_i), sentence (B, E) -> (B, D, H, W)."""
        v3, v4, v5 = feats
        sentence = self.txt_proj(sentence)
        g3 = self.fusion3(self.f3_proj(v3), sentence)
        g4 = self.fusion4(self.f4_proj(v4), sentence)
        g5 = self.fusion5(self.f5_proj(v5), sentence)
        return self.coordconv(with_coordinates(self.aggr(torch.cat([g3, g4, g5], dim=1))))


class SentenceGate(nn.Module):
    """Each channel times W_o (W_v t + b_v) + b_o, where t is the sentence.

    The weights are those of an attention, so that official files fit; two thirds of ``in_proj_weight``, of queries
    and keys, are never read.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(channels, num_heads=1)  # of how many heads, one key does not tell

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """x (B or 1, D, h, w), sentence (B, D) -> (B, D, h, w)."""
        attention = self.multihead_attn
        *_, weight = attention.in_proj_weight.chunk(3)
        *_, bias = attention.in_proj_bias.chunk(3)
        return x * attention.out_proj(F.linear(sentence, weight, bias))[..., None, None]
