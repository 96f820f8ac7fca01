"""Queries that read a map inside of the masks that they themselves predict (Mask2Former, Cheng et al., CVPR 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class QueryAttention(nn.Module):
    """x = LN(x + attention(x + places, memory + memory places, memory)).

    Args:
        channels: D, of queries and memory, a multiple of ``heads``.
        heads: of the attention.

    Raises:
        ValueError: ``channels`` that are no multiple of ``heads``.
    """

    def __init__(self, channels: int, heads: int = 8):
        super().__init__()
        if channels % heads:
            raise ValueError(f'channels ({channels}) must be a multiple of heads ({heads})')
        self.attn = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.norm = nn.LayerNorm(channels)
        nn.init.xavier_uniform_(self.attn.out_proj.weight)

    def forward(
        self,
        x: Tensor,
        places: Tensor | float,
        memory: Tensor,
        memory_places: Tensor | float,
        blocked: Tensor | None = None,
    ) -> Tensor:
        """Read what is not blocked.

        Args:
            x: (B, P, D) queries.
            places: (P, D), added to the queries alone; 0: none.
            memory: (B, M, D); x itself for attention among queries.
            memory_places: (M, D), added to the keys, not to the values; 0: none.
            blocked: (B, P, M), True = not to be read, see :func:`blocked_outside`; None: everything is read.

        Returns:
            (B, P, D).
        """
        if blocked is not None:
            blocked = blocked.repeat_interleave(self.attn.num_heads, dim=0)
        heard, _ = self.attn(x + places, memory + memory_places, memory, attn_mask=blocked, need_weights=False)
        return self.norm(x + heard)


class QueryFeedForward(nn.Module):
    """x = LN(x + W2 relu(W1 x)).

    Args:
        channels: D, of the queries.
        hidden: channels in between.
    """

    def __init__(self, channels: int, hidden: int = 2048):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.norm = nn.LayerNorm(channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, P, D) -> the same shape."""
        return self.norm(x + self.linear2(F.relu(self.linear1(x))))


@torch.no_grad()
def blocked_outside(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Where a query's own mask says that its object is not: masks' logits (B, P, h, w) -> (B, P, height * width) bool,
    True = blocked.

    A query whose mask is empty reads everything.
    """
    scores = F.interpolate(masks, size, mode='bilinear', align_corners=False).flatten(2).sigmoid()
    blocked = scores < 0.5
    return blocked & ~blocked.all(dim=2, keepdim=True)
