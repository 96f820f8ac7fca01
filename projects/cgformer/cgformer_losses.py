"""CGFormer's losses: dice and cross entropy of the mask, dice of the maps inside."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.losses import BinaryCrossEntropy
from mgfe_ris.models.losses.processes import mean_over_processes


def dice(probability: Tensor, target: Tensor, ignore_index: int = 255) -> Tensor:
    """1 - (2 sum(p y) + 1) / (sum p + sum y + 1), sums over the pixels of a photo, mean over photos.

    Args:
        probability: (B, 1, h, w), of the target.
        target: (B, H, W): labels, or shares of a pixel in [0, 1]; brought to h x w by nearest neighbour.
        ignore_index: label of pixels that count nowhere.
    """
    target = F.interpolate(target[:, None].to(probability.dtype), probability.shape[-2:])
    counts = target != ignore_index
    target, probability = (torch.where(counts, x, 0).flatten(1) for x in (target, probability))
    overlap = (probability * target).sum(1)
    return mean_over_processes(1 - (2 * overlap + 1) / (probability.sum(1) + target.sum(1) + 1))


@MODELS.register_module()
class DiceCrossEntropy(nn.Module):
    """:func:`dice` of the logits' sigmoid + their cross entropy, each with weight 1.

    Args:
        ignore_index: label of pixels that count nowhere.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index
        self.cross_entropy = BinaryCrossEntropy(ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """logits (B, 1, h, w), target (B, H, W) -> the two terms, to be added."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return {
            'loss_dice': dice(logits.sigmoid(), target, self.ignore_index),
            'loss_cross_entropy': self.cross_entropy(logits, target),
        }
