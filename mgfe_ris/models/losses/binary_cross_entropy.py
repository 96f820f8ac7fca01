"""Cross entropy of one logit per pixel."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .processes import sum_over_processes


@MODELS.register_module()
class BinaryCrossEntropy(nn.Module):
    """-mean(y ln s + (1 - y) ln(1 - s)), s = sigmoid(z), over all pixels that count, of all photos of all
    processes alike.

    The truth is brought to the logits' size, nearest neighbour, as CRIS does.

    Args:
        ignore_index: label of pixels that count nowhere.
    """

    def __init__(self, ignore_index: int = 255):
        super().__init__()
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, 1, h, w), target (B, H, W): labels, or shares of a pixel in [0, 1] -> scalar."""
        target = F.interpolate(target[:, None].to(logits.dtype), logits.shape[-2:])
        counts = target != self.ignore_index
        loss = F.binary_cross_entropy_with_logits(logits, torch.where(counts, target, 0), reduction='none')
        total, count = sum_over_processes((loss * counts).sum(), counts.sum().to(loss.dtype))
        return total / count.clamp(min=1)
