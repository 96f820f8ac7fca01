"""Swin Transformer (Liu et al., ICCV 2021) with a slot for language after each stage."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.models.backbones.swin import ShiftWindowMSA, SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor

from ..checkpoints import State, from_swin, resize_position_tables
from ..fusion.neck import Fuse
from .layout import to_map, to_tokens
from .pretrained import load_pretrained


@MODELS.register_module()
class SwinEncoder(SwinTransformer):
    """mmseg's Swin (same arguments, same parameter names, so its checkpoints load unchanged) with two changes:
    language may enter between the stages, and window attention is fused.

    Dropout, absolute positions and fewer than four outputs are not offered: no published RIS model uses them.

    Weights: ``init_cfg=dict(type='Pretrained', checkpoint=...)`` with a file of OpenMMLab, the original repository or
    Hugging Face; see :func:`mgfe_ris.models.checkpoints.from_swin`. Position tables of another window are interpolated.
    """

    def __init__(self, **kwargs):
        for name in ('drop_rate', 'attn_drop_rate', 'use_abs_pos_embed', 'out_indices'):
            if name in kwargs:
                raise ValueError(f'SwinEncoder does not offer {name}={kwargs[name]}; leave it out')
        super().__init__(**kwargs)
        for stage in self.stages:
            for block in stage.blocks:
                block.attn = FusedWindowAttention.like(block.attn)

    def init_weights(self) -> None:
        if not load_pretrained(self, self._convert, may_lack=r'norm\d'):
            super().init_weights()

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        return resize_position_tables(from_swin(checkpoint), self.stages[0].blocks[0].attn.window_size)

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """Run the stages and offer the slot after each.

        Args:
            x: (B, 3, H, W) normalised photos; any size, padded where patches or windows do not divide it.
            fuse: the slot's function, see :data:`mgfe_ris.models.fusion.neck.Fuse`; None: plain Swin.

        Returns:
            four normalised maps, (B, C_i, H_i, W_i), strides 4, 8, 16, 32.
        """
        x, size = self.patch_embed(x)
        x = self.drop_after_pos(x)
        outs = []
        for i, stage in enumerate(self.stages):
            for block in stage.blocks:
                x = block(x, size)
            out = x
            if fuse is not None:
                out, feedback = fuse(i, to_map(x, size))
                out = to_tokens(out)
                x = x + to_tokens(feedback)
            outs.append(to_map(getattr(self, f'norm{i}')(out), size))
            if stage.downsample is not None:
                x, size = stage.downsample(x, size)
        return outs


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
        (h, w), ws, shift = hw_shape, self.window_size, self.shift_size
        x = query.unflatten(1, (h, w))
        x = F.pad(x, (0, 0, 0, -w % ws, 0, -h % ws))
        padded = (x.shape[1], x.shape[2])
        if shift:
            x = x.roll((-shift, -shift), (1, 2))
        windows = _partition(x, ws)
        x = _merge(self._attend(windows, self._bias(padded, x)), ws, padded)
        if shift:
            x = x.roll((shift, shift), (1, 2))
        return self.drop(x[:, :h, :w].flatten(1, 2))

    def _attend(self, windows: Tensor, bias: Tensor) -> Tensor:
        """windows (B * nW, N, C), bias (1 or nW, heads, N, N) -> (B * nW, N, C)."""
        msa = self.w_msa
        qkv = msa.qkv(windows).unflatten(-1, (3, msa.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        if len(bias) > 1:
            bias = bias.repeat(len(windows) // len(bias), 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype), scale=msa.scale)
        return msa.proj(x.transpose(1, 2).flatten(2))

    def _bias(self, size: tuple[int, int], like: Tensor) -> Tensor:
        """Relative position bias, plus the shift mask where windows are shifted: (1 or nW, heads, N, N)."""
        n = self.window_size**2
        table = self.w_msa.relative_position_bias_table[self.w_msa.relative_position_index.flatten()]
        bias = table.unflatten(0, (n, n)).permute(2, 0, 1)[None]
        if not self.shift_size:
            return bias
        return bias + _shift_mask(size, self.window_size, self.shift_size, like.device)[:, None]


@lru_cache(maxsize=16)
def _shift_mask(size: tuple[int, int], window: int, shift: int, device: torch.device) -> Tensor:
    """0 where two pixels of a shifted window were neighbours in the photo, else -100: (nW, N, N).

    Computed once per size: the blocks of a stage share it.
    """
    ids = torch.zeros(size, device=device)
    for axis in (0, 1):
        # three bands an axis: whole windows, the last window's own part, the part rolled in
        band = torch.zeros(size[axis], device=device)
        band[-window:] = 1
        band[-shift:] = 2
        ids = ids * 3 + (band[:, None] if axis == 0 else band)
    ids = _partition(ids[None, ..., None], window)[..., 0]
    return (ids[:, None] != ids[:, :, None]) * -100.0


def _partition(x: Tensor, ws: int) -> Tensor:
    """(B, H, W, C) -> (B * nW, ws * ws, C)."""
    x = x.unflatten(2, (-1, ws)).unflatten(1, (-1, ws))
    return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def _merge(windows: Tensor, ws: int, size: tuple[int, int]) -> Tensor:
    """(B * nW, ws * ws, C) -> (B, H, W, C)."""
    x = windows.unflatten(1, (ws, ws)).unflatten(0, (-1, size[0] // ws, size[1] // ws))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
