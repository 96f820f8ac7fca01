"""Attention inside of (shifted) windows, section 3.2 of Swin Transformer (Liu et al., ICCV 2021)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor

from ..cache import made_once


class FusedWindowAttention(ShiftWindowMSA):
    """(Shifted) window attention through ``scaled_dot_product_attention``; parameters as in mmseg's."""

    @classmethod
    def like(cls, stock: ShiftWindowMSA) -> 'FusedWindowAttention':
        """The same layer, taking over the parameters of ``stock``."""
        attention = cls(stock.w_msa.embed_dims, stock.w_msa.num_heads, stock.window_size, shift_size=stock.shift_size)
        attention.w_msa, attention.drop = stock.w_msa, stock.drop
        # follows from the window's size: in a file it would only hinder a window of another size
        attention.w_msa.register_buffer(
            'relative_position_index', attention.w_msa.relative_position_index, persistent=False
        )
        return attention

    def forward(self, query: Tensor, hw_shape: tuple[int, int]) -> Tensor:
        """query (B, H * W, C) -> (B, H * W, C)."""
        msa = self.w_msa
        windows = _windows(*hw_shape, self.window_size, self.shift_size, query.device)
        # the linear layer ahead of the padding, which can be more than half of what the windows hold
        qkv = msa.qkv(query)
        if windows.padded:
            # what the layer makes of a pixel of zeros, as one more pixel
            zeros = query.new_zeros(query.shape[0], 1, query.shape[-1])
            qkv = torch.cat([qkv, msa.qkv(zeros)], dim=1)
        # index_select and embedding, for their gradients are added up far faster than those of [] on a CPU
        qkv = qkv.index_select(1, windows.tokens)
        qkv = qkv.unflatten(1, (-1, self.window_size**2)).flatten(0, 1).unflatten(-1, (3, msa.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        x = _attend(q, k, v, self._bias(windows.mask).to(q.dtype), query.shape[0], msa.scale)
        x = x.transpose(1, 2).reshape(query.shape[0], -1, query.shape[-1]).index_select(1, windows.places)
        return self.drop(msa.proj(x))

    def _bias(self, mask: Tensor | None) -> Tensor:
        """Relative position bias, plus the mask where windows are shifted: (1 or nW, heads, N, N)."""
        bias = F.embedding(self.w_msa.relative_position_index, self.w_msa.relative_position_bias_table)
        # contiguous: CUDA's fused kernels refuse a mask whose rows have gaps
        bias = bias.permute(2, 0, 1)[None].contiguous()
        return bias if mask is None else bias + mask[:, None]


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor, photos: int, scale: float) -> Tensor:
    """q, k, v (photos * nW, heads, N, d), bias (1 or nW, heads, N, N) -> (photos * nW, heads, N, d)."""
    if q.device.type == 'cpu' and bias.requires_grad:
        # torch's fused kernel knows no gradient of the bias there, and what it falls back to is slower than this
        scores = ((q * scale) @ k.mT).unflatten(0, (-1, bias.shape[0])) + bias
        return scores.flatten(0, 1).softmax(-1) @ v
    if bias.shape[0] == 1:
        return F.scaled_dot_product_attention(q, k, v, bias, scale=scale)
    # windows as more heads: so the photos share the bias, of which the kernel would else need a copy for each
    q, k, v = (x.unflatten(0, (photos, -1)).flatten(1, 2) for x in (q, k, v))
    x = F.scaled_dot_product_attention(q, k, v, bias.flatten(0, 1)[None], scale=scale)
    return x.unflatten(1, bias.shape[:2]).flatten(0, 1)


class _Windows(NamedTuple):
    """Where the pixels of a map go when it is padded, shifted and cut into windows."""

    tokens: Tensor
    """(nW * N,): of each place in a window, the pixel that stands there; H * W for padding."""
    padded: bool
    """Whether there is padding."""
    places: Tensor
    """(H * W,): of each pixel, its place."""
    mask: Tensor | None
    """(nW, N, N): 0 where two places were neighbours before the shift, else -100; None: not shifted."""


@made_once
def _windows(h: int, w: int, window: int, shift: int, device: torch.device) -> _Windows:
    """The blocks of a stage share it. No size depends on a tensor's numbers: a compiled graph need not break here."""
    pixels = torch.arange(h * w, device=device).view(h, w)
    pixels = F.pad(pixels, (0, -w % window, 0, -h % window), value=h * w)
    size = pixels.shape
    tokens = _cut(pixels.roll((-shift, -shift), (0, 1)), window)
    places = _joined(torch.arange(len(tokens), device=device), size, window).roll((shift, shift), (0, 1))
    return _Windows(tokens, size != (h, w), places[:h, :w].flatten(), _mask(size, window, shift, device))


def _mask(size: Sequence[int], window: int, shift: int, device: torch.device) -> Tensor | None:
    if not shift:
        return None
    ids = torch.zeros(*size, device=device)
    for axis in (0, 1):
        # three bands an axis: whole windows, the last window's own part, the part rolled in
        band = torch.zeros(size[axis], device=device)
        band[-window:] = 1
        band[-shift:] = 2
        ids = ids * 3 + (band[:, None] if axis == 0 else band)
    ids = _cut(ids, window).view(-1, window**2)
    return (ids[:, None] != ids[:, :, None]) * -100.0


def _cut(x: Tensor, window: int) -> Tensor:
    """(H, W) -> (H * W,), window by window."""
    x = x.unflatten(1, (-1, window)).unflatten(0, (-1, window))
    return x.transpose(1, 2).flatten()


def _joined(x: Tensor, size: Sequence[int], window: int) -> Tensor:
    """(H * W,), window by window -> (H, W)."""
    x = x.view(size[0] // window, size[1] // window, window, window)
    return x.transpose(1, 2).reshape(*size)
