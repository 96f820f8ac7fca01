"""Class-weighted cross entropy: the baseline's loss (Table 8, first row)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class WeightedCrossEntropyLoss(nn.Module):
    """Cross entropy, averaged with the weights of the pixels' classes.

    Args:
        class_weight: of background and target; 0.9 and 1.1 in the official baseline.
        ignore_index: label of pixels that count nowhere.
    """

    class_weight: Tensor

    def __init__(self, class_weight: Sequence[float] = (0.9, 1.1), ignore_index: int = 255):
        super().__init__()
        self.register_buffer('class_weight', torch.tensor(class_weight), persistent=False)
        self.ignore_index = ignore_index

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weight = self.class_weight.to(logits.dtype)
        total = F.cross_entropy(logits, target, weight, ignore_index=self.ignore_index, reduction='sum')
        counted = sum((target == c).sum() * w for c, w in enumerate(weight))
        return total / torch.clamp(counted, min=1e-6)  # 0 where every pixel is ignored
