"""ReLA's pixel decoder, which is Mask2Former's: three maps that have read one another, and one at stride 4."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.deformable import DeformableEncoder


class PyramidDecoder(nn.Module):
    """The three coarse maps go through a deformable encoder; the finest is added to what it says at stride 8.

    Args:
        in_channels: C_i of four maps, strides 4, 8, 16, 32.
        channels: D, of the maps inside, a multiple of 32 and of ``heads``.
        mask_channels: of the map at stride 4 that comes out.
        layers, heads, points, hidden: of :class:`mgfe_ris.models.deformable.DeformableEncoder`.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        mask_channels: int = 256,
        layers: int = 6,
        heads: int = 8,
        points: int = 4,
        hidden: int = 1024,
    ):
        super().__init__()
        finest, *coarse = in_channels
        self.encoder = DeformableEncoder(coarse[::-1], channels, layers, heads, points, hidden)
        self.lateral = nn.Sequential(nn.Conv2d(finest, channels, 1, bias=False), nn.GroupNorm(32, channels))
        self.output = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.GroupNorm(32, channels), nn.ReLU()
        )
        self.mask_features = nn.Conv2d(channels, mask_channels, 1)
        for conv in (self.lateral[0], self.output[0], self.mask_features):
            nn.init.kaiming_uniform_(conv.weight, a=1)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """feats (B, C_i, h_i, w_i), strides 4, 8, 16, 32 -> the map of which masks are made, (B, mask channels, h_0,
        w_0), and three of D channels, strides 32, 16, 8."""
        finest, *coarse = feats
        maps = self.encoder(coarse[::-1])
        x = self.lateral(finest)
        x = x + F.interpolate(maps[-1], x.shape[-2:], mode='bilinear', align_corners=False)
        return self.mask_features(self.output(x)), maps
