"""Focal loss: section 3.3, eqs. 20 to 23 (after Lin et al., ICCV 2017)."""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from .processes import sum_over_processes
from .target import softmax_and_one_hot


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Mean over classes and pixels of -alpha (1 - q)^gamma (y ln(q + delta) + (1 - y) ln(1 - q + delta)), with the
    probability of being right, q = p y + (1 - p) (1 - y).

    That is eqs. 20 to 23 as they are printed, and as the paper's models were trained. For two classes q is the same
    number for both, so it is -alpha (1 - q)^gamma (ln q + ln(1 - q)) / 2. With gamma = 2 it falls wherever q grows, as
    the focal loss of Lin et al. does, but pulls half as hard at confident mistakes and harder at pixels that are nearly
    right.

    Args:
        alpha: balance factor. The paper prints none; 0.25 in its code base, as in Lin et al.
        gamma: focusing exponent. The paper prints none; 2 in its code base, as in Lin et al.
        corrected: p inside eq. 22 in the place of q, which makes it -alpha (1 - q)^gamma ln(q + delta), the focal loss.
        ignore_index: label of pixels that count nowhere.
        delta: keeps the logarithms finite; 1e-5 in the paper's code base.
    """

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        corrected: bool = False,
        ignore_index: int = 255,
        delta: float = 1e-5,
    ):
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma
        self.corrected = corrected
        self.ignore_index = ignore_index
        self.delta = delta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        p_s, y, valid = softmax_and_one_hot(logits, target, self.ignore_index)
        q = torch.where(y, p_s, 1 - p_s)  # eq. 20
        inside = q if self.corrected else torch.where(y, q, 1 - q)
        loss = -self.alpha * (1 - q) ** self.gamma * torch.log(inside + self.delta)  # eqs. 21 to 23
        total, count = sum_over_processes((loss * valid).sum(), (valid.sum() * p_s.shape[1]).to(loss.dtype))
        return total / count.clamp(min=1)
