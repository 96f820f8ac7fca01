"""What the losses on probabilities share: eqs. 17, 18 and the ignored pixels."""

import torch
from torch import Tensor


def softmax_and_one_hot(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """The softmax, and where it should be one.

    Args:
        logits: (B, C, H, W); or (B, 1, H, W) of the target alone: then the background's are 0, and the softmax is the
            sigmoid.
        target: (B, H, W) int64.
        ignore_index: label of pixels that count nowhere.

    Returns:
        p_s (B, C, H, W), at least fp32 whatever the logits are, since deltas of 1e-5 to 1e-7 vanish in half precision;
        y (B, C, H, W) bool, False at ignored pixels; valid (B, 1, H, W) bool.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], dim=1)
    p_s = logits.softmax(dim=1)
    classes = torch.arange(p_s.shape[1], device=logits.device).view(1, -1, 1, 1)
    target = target[:, None]
    return p_s, target == classes, target != ignore_index
