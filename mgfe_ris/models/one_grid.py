"""Maps of several stages on one grid, for heads whose authors' backbones keep all stages at one size."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class OneGrid(nn.Module):
    """The last three maps of an encoder, ReLU(W x) of each, at the size of the first of them.

    The backbones of RRN and BRINet dilate their convolutions, so that their c3, c4 and c5 have stride 8. Maps that are
    of one size already are not resized.

    Args:
        channels: of all maps, finest first.
        hidden: channels of what comes out.

    Raises:
        ValueError: fewer than three maps.
    """

    def __init__(self, channels: Sequence[int], hidden: int):
        super().__init__()
        if len(channels) < 3:
            raise ValueError(f'channels must be of three maps at least; got {tuple(channels)}')
        self.laterals = nn.ModuleList(nn.Conv2d(c, hidden, 1) for c in channels[-3:])

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """feats (B, C_i, H_i, W_i), finest first -> three maps (B, hidden, H, W), finest first."""
        size = feats[-3].shape[2:]
        maps = (F.relu(lateral(x)) for lateral, x in zip(self.laterals, feats[-3:], strict=True))
        return [x if x.shape[2:] == size else F.interpolate(x, size, mode='bilinear', align_corners=True) for x in maps]
