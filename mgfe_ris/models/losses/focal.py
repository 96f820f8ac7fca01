"""Focal loss: section 3.3, eqs. 20 to 23 (Lin et al., ICCV 2017)."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .target import softmax_and_one_hot


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Mean over classes and pixels of -alpha (1 - p)^gamma ln(p + delta), p = probability of being right.

    Erratum: eq. 22 read literally, with the p of eq. 20, is ln(p_s) also where y = 0, and pushes the wrong class up:
    for gamma = 0 always, else where p_s > exp(-1 / gamma), at the confident mistakes. The p inside eq. 22 must be the
    softmax p_s; then eq. 22 equals ln(p + delta), as here.

    Args:
        alpha: balance factor. The paper gives none; 0.25 as in Lin et al.
        gamma: focusing exponent. The paper gives none; 2 as in Lin et al.
        ignore_index: label of pixels that count nowhere.
        delta: keeps the logarithm finite.
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, ignore_index: int = 255, delta: float = 1e-6):
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.ignore_index = ignore_index
        self.delta = delta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        p_s, y, valid = softmax_and_one_hot(logits, target, self.ignore_index)
        p = torch.where(y, p_s, 1 - p_s)  # eq. 20
        loss = -self.alpha * (1 - p) ** self.gamma * torch.log(p + self.delta)  # eqs. 21 to 23
        return (loss * valid).sum() / (valid.sum() * logits.shape[1]).clamp(min=1)
