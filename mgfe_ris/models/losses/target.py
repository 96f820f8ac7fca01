"""What the losses on probabilities share: eqs. 17, 18 and the ignored pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def softmax_and_one_hot(logits: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    """logits (B, C, H, W), target (B, H, W) -> p_s and y, both (B, C, H, W), and valid (B, 1, H, W).

    At least fp32, whatever the logits are: delta = 1e-6 vanishes in half precision. Ignored pixels are 0 in y
    and in valid.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    valid = (target != ignore_index)[:, None].to(dtype)
    classes = torch.where(target == ignore_index, 0, target)
    y = F.one_hot(classes, logits.shape[1]).permute(0, 3, 1, 2).to(dtype) * valid
    return logits.to(dtype).softmax(dim=1), y, valid
