"""The truth of edges."""

import torch
import torch.nn.functional as F
from torch import Tensor


def edge_map(target: Tensor, radius: int = 2, ignore_index: int = 255) -> Tensor:
    """Pixels that have one of the other class within a distance of ``radius``, the photo's surroundings included.

    The distance is Euclidean, between the middles of pixels, so that the pixels near are those under a disc.

    Args:
        target: (B, H, W): labels, or shares of a pixel in [0, 1].
        radius: pixels.
        ignore_index: label of pixels that count nowhere, here neither; to their neighbours they are background.

    Returns:
        (B, H, W) of the same type: 1 near an edge, 0 elsewhere, ``ignore_index`` where the target has it.
    """
    ignored = target == ignore_index
    inside = ((target > 0.5) & ~ignored)[:, None].float()
    line = torch.arange(-radius, radius + 1, device=target.device)
    disc = (line[:, None] ** 2 + line**2 <= radius**2).float()[None, None]
    # how much of the disc around a pixel is inside; what lies beyond the photo is outside
    filled = F.conv2d(inside, disc, padding=radius)
    near = torch.where(inside > 0, filled < disc.sum(), filled > 0)[:, 0]
    return torch.where(ignored, target, near.to(target.dtype))
