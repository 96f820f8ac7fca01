"""Class-weighted cross entropy: the baseline's loss (Table 8, first row)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .processes import sum_over_processes


@MODELS.register_module()
class WeightedCrossEntropyLoss(nn.Module):
    """Cross entropy, averaged with the weights of the pixels' classes, over the samples of all processes.

    Args:
        class_weight: of background and target; 0.9 and 1.1 in the official baseline.
        ignore_index: label of pixels that count nowhere.
    """

    def __init__(self, class_weight: Sequence[float] = (0.9, 1.1), ignore_index: int = 255):
        super().__init__()
        self.class_weight = tuple(class_weight)  # no buffer: that would round them to the model's type
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction='none')
        weight = torch.zeros_like(loss)
        for label, of_class in enumerate(self.class_weight):
            weight = weight.masked_fill(target == label, of_class)
        total, weights = sum_over_processes((weight * loss).sum(), weight.sum())
        return total / weights.clamp(min=1e-6)  # 0 where every pixel is ignored
