"""Attention whose values are its keys, as the rivals of Table 6 have it."""

import torch.nn.functional as F
from torch import Tensor


def attend(query: Tensor, memory: Tensor, mask: Tensor | None = None, scale: float | None = None) -> Tensor:
    """softmax(scale * query memory^T) memory, with one head.

    Args:
        query: (B, N, C).
        memory: (B, M, C).
        mask: (B, M), True = is there; None: all of it is.
        scale: None: 1 / sqrt(C).

    Returns:
        (B, N, C).
    """
    # -1e4, not -inf: fp16 holds it, and a row of only padding stays finite
    bias = None if mask is None else (1 - mask.to(query.dtype))[:, None, None] * -1e4
    memory = memory.to(query.dtype)[:, None]  # a dimension of heads, without which ONNX knows no attention
    return F.scaled_dot_product_attention(query[:, None], memory, memory, bias, scale=scale)[:, 0]
