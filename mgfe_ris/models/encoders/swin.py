"""Swin Transformer (Liu et al., ICCV 2021) with a slot for language after each stage."""

from collections.abc import Mapping
from typing import Any

from mmseg.models.backbones.swin import SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor

from ..checkpoints import from_swin, resize_position_tables
from ..fusion.neck import Fuse
from ..renaming import State
from .layout import to_map, to_tokens
from .pretrained import load_pretrained
from .window_attention import FusedWindowAttention


@MODELS.register_module()
class SwinEncoder(SwinTransformer):
    """mmseg's Swin (same arguments, same parameter names, so its checkpoints load unchanged) with two changes:
    language may enter between the stages, and window attention is fused.

    Dropout and absolute positions are not offered: no published RIS model uses them. ``out_indices`` are the stages
    whose maps are returned, all four by default; the others have no norm.

    Weights: ``init_cfg=dict(type='Pretrained', checkpoint=...)`` with a file of OpenMMLab, the original repository or
    Hugging Face; see :func:`mgfe_ris.models.checkpoints.from_swin`. Position tables of another window are interpolated.
    """

    def __init__(self, **kwargs):
        for name in ('drop_rate', 'attn_drop_rate', 'use_abs_pos_embed'):
            if name in kwargs:
                raise ValueError(f'SwinEncoder does not offer {name}={kwargs[name]}; leave it out')
        super().__init__(**kwargs)
        for stage in self.stages:
            for block in stage.blocks:
                block.attn = FusedWindowAttention.like(block.attn)

    @property
    def out_channels(self) -> tuple[int, ...]:
        """C_i of the maps."""
        return tuple(self.num_features[i] for i in self.out_indices)

    def init_weights(self) -> None:
        if not load_pretrained(self, self._convert, may_lack=r'norm\d'):
            super().init_weights()
            for stage in self.stages:
                for block in stage.blocks:
                    block.attn.w_msa.init_weights()  # the position tables, which mmseg's Swin leaves at 0

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        return resize_position_tables(from_swin(checkpoint), self.stages[0].blocks[0].attn.window_size)

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """Run the stages and offer the slot after each.

        Args:
            x: (B, 3, H, W) normalised photos; any size, padded where patches or windows do not divide it.
            fuse: the slot's function, see :data:`mgfe_ris.models.fusion.neck.Fuse`; None: plain Swin.

        Returns:
            normalised maps, (B, C_i, H_i, W_i), of strides 4, 8, 16, 32, or those of them in ``out_indices``.
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
            if i in self.out_indices:
                outs.append(to_map(getattr(self, f'norm{i}')(out), size))
            if stage.downsample is not None:
                x, size = stage.downsample(x, size)
        return outs
