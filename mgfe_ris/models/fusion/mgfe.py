"""Multi-granularity feature extraction: section 3.1, eqs. 2 to 12."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class MGFE(BaseModule):
    """A local branch (depth-wise convolutions) and a global one (attention to pooled pixels), concatenated.

    All layers begin with PyTorch's own initialisation. The paper does not say how they begin; so do the convolutions of
    the attention before it and of the decoder after it in LAVT-RS, the code base of the paper's experiments. G' then
    has 0.27 to 0.53 of the size of G, a correction. ``configs/ablations/init_4`` and ``init_5`` begin at 0 and near the
    size of G.

    Args:
        channels: width C of the stage.
        pool_size: kernel and stride of the average pool before the global attention. 8, 4, 2, 1 at stages
            0 to 3 let every stage attend to 15 x 15 tokens at 480 px.
        num_heads: heads of the global attention; d of eqs. 4 and 10 is the width of a head.
        hold_scale: a group norm of one group on G', which nothing else keeps at the size of G. Not in the paper: rows
            of ``scale`` in ``configs/ablations``.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``num_heads``.
    """

    def __init__(
        self, channels: int, pool_size: int, num_heads: int = 1, hold_scale: bool = False, init_cfg: dict | None = None
    ):
        super().__init__(init_cfg)
        if channels % num_heads:
            raise ValueError(f'channels ({channels}) must be a multiple of num_heads ({num_heads})')
        self.pool_size = pool_size
        self.num_heads = num_heads
        self.scale = (channels // num_heads) ** -0.5
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.depthwise_q = _depthwise(channels)
        self.depthwise_k = _depthwise(channels)
        self.depthwise_v = _depthwise(channels)
        self.pointwise_v = nn.Conv2d(channels, channels, 1, bias=False)
        self.w1 = nn.Conv2d(channels, channels, 1)
        self.w2 = nn.Conv2d(channels, channels, 1)
        self.output = nn.Conv2d(2 * channels, channels, 1)
        self.norm = nn.GroupNorm(1, channels) if hold_scale else nn.Identity()

    def forward(self, g: Tensor, words: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """G (B, C, H, W) -> G' (B, C, H, W); words and mask, for a part that needs them, are not read."""
        q, k, v = self.qkv(g).chunk(3, dim=1)  # eq. 2
        return self.norm(self.output(torch.cat([self._local(q, k, v), self._global(q, k, v)], dim=1)))  # eq. 12

    def _local(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        v = self.pointwise_v(self.depthwise_v(v))  # eq. 6
        qk = self.depthwise_q(q) * self.depthwise_k(k)  # eqs. 7, 8
        weight = torch.tanh(self.w2(F.silu(self.w1(qk))) * self.scale)  # eqs. 9, 10
        return weight * v  # eq. 11

    def _global(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        size = q.shape[-2:]
        q, k, v = self._tokens(q), self._tokens(self._pool(k)), self._tokens(self._pool(v))
        x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)  # eqs. 4, 5
        return x.transpose(-2, -1).flatten(1, 2).unflatten(-1, size)

    def _pool(self, x: Tensor) -> Tensor:
        """Eq. 3; a last window that the map does not fill averages the pixels it has."""
        return F.avg_pool2d(x, self.pool_size, ceil_mode=True, count_include_pad=False)

    def _tokens(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, heads, HW, C / heads)."""
        # contiguous: fused kernels refuse pixels whose channels lie apart
        return x.flatten(2).unflatten(1, (self.num_heads, -1)).transpose(-2, -1).contiguous()


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
