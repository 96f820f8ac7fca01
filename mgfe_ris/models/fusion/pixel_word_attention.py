"""Word context for every pixel: eq. 1 of the paper, the "PWAM" of LAVT (Yang et al., CVPR 2022, sec. 3.2)."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class PixelWordAttention(BaseModule):
    """Pixels ask, words answer: G = Proj(softmax(V L^T / sqrt(C)) L), eq. 1.

    Args:
        channels: width C of the visual stage; G has the same.
        text_channels: width D of the words.
        num_heads: 1 in every published model. The scale is 1/sqrt(C), not of a head, for any number.
        dropout: after each GELU.
        norm: of queries and of what was heard: ``'IN'``, instance norm, in every published model. ``'BN'``, batch norm,
            ``'LN'``, layer norm over the channels of a pixel, and None are rows of LAVT's own ablation.

    Raises:
        ValueError: if ``channels`` is not a multiple of ``num_heads``; another norm.
    """

    def __init__(
        self,
        channels: int,
        text_channels: int,
        num_heads: int = 1,
        dropout: float = 0.0,
        norm: str | None = 'IN',
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if channels % num_heads:
            raise ValueError(f'channels ({channels}) must be a multiple of num_heads ({num_heads})')
        if norm not in _NORMS:
            raise ValueError(f'norm must be one of {list(_NORMS)}; got {norm!r}')
        self.num_heads = num_heads
        self.scale = channels**-0.5
        self.query = nn.Conv2d(channels, channels, 1)
        self.key = nn.Linear(text_channels, channels)
        self.value = nn.Linear(text_channels, channels)
        self.output = nn.Conv2d(channels, channels, 1)
        self.visual = nn.Conv2d(channels, channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        self.query_norm, self.output_norm = _NORMS[norm](channels), _NORMS[norm](channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """Word context of each pixel.

        Args:
            v: (B, C, H, W) visual features, or (1, C, H, W) where all sentences are about one photo.
            words: (B, T, D) word features.
            mask: (B, T), True (or 1) for a word, False for padding.

        Returns:
            G, (B, C, H, W).
        """
        c, h, w = v.shape[1:]
        heads = (self.num_heads, c // self.num_heads)
        keep = mask.to(words.dtype)[..., None]
        # contiguous: fused kernels refuse pixels whose channels lie apart
        q = self.query_norm(self.query(v)).flatten(2).transpose(1, 2).contiguous()
        q = q.unflatten(-1, heads).transpose(1, 2).expand(words.shape[0], -1, -1, -1)
        k = (self.key(words) * keep).unflatten(-1, heads).transpose(1, 2)
        value = (self.value(words) * keep).unflatten(-1, heads).transpose(1, 2)
        # -1e4, not -inf: fp16 holds it, and a row of only padding stays finite
        bias = ((1 - mask.to(q.dtype)) * -1e4)[:, None, None, :]
        context = F.scaled_dot_product_attention(q, k.to(q.dtype), value.to(q.dtype), bias, scale=self.scale)
        context = context.transpose(1, 2).flatten(2).transpose(1, 2).unflatten(-1, (h, w))
        language = self.output_norm(self.output(context))
        visual = self.dropout(F.gelu(self.visual(v)))
        return self.dropout(F.gelu(self.project(visual * language)))


class InstanceNorm(nn.InstanceNorm2d):
    """Over the pixels of one photo, no affine, eps 1e-5; a map of one pixel becomes 0.

    Through ``layer_norm``: torch's ``instance_norm`` refuses maps of one pixel, and on a CPU its gradient is wrong for
    a batch of one whose gradient arrives channels-last (seen with torch 2.15).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> the same shape."""
        pixels = x.flatten(2)
        return F.layer_norm(pixels, pixels.shape[2:], eps=self.eps).view_as(x)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


_NORMS = {'IN': InstanceNorm, 'BN': nn.BatchNorm2d, 'LN': ChannelNorm, None: nn.Identity}
