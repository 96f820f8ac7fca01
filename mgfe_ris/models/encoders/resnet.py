"""ResNet (He et al., CVPR 2016) with a slot for language after each stage."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import ModuleList
from mmseg.models.backbones import ResNet
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..checkpoints import from_convolutional
from ..fusion.neck import Fuse
from .pretrained import load_pretrained


@MODELS.register_module()
class ResNetEncoder(ResNet):
    """mmseg's ResNet (same arguments, same parameter names) with a slot for language between the stages.

    What the slot returns as feedback is added before the next stage, which down-samples by itself; what goes to the
    decoder passes a group norm of one group, the convolutional form of Swin's layer norm.

    Args:
        max_pool: False leaves out the pool after the stem: strides 2, 4, 8, 16 instead of 4, 8, 16, 32.
        position_map: size (H, W) of a learned map that is added after the stem, stretched to the map's size.
            A convolution alone finds out slowly where "left" is. None: no map.
        out_indices: stages whose maps are returned; the others have no norm.
        kwargs: mmseg's ``ResNet``: depth, base_channels, ...; weights by ``init_cfg=dict(type='Pretrained',
            checkpoint=...)`` with a file of torchvision or OpenMMLab.
    """

    def __init__(
        self,
        max_pool: bool = True,
        position_map: tuple[int, int] | None = None,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        **kwargs,
    ):
        super().__init__(out_indices=out_indices, **kwargs)
        self.use_max_pool = max_pool
        block_width = self.base_channels * self.block.expansion
        widths = [block_width * 2**i for i in range(len(self.res_layers))]
        self.out_norms = ModuleList(
            nn.GroupNorm(1, width) if i in out_indices else nn.Identity() for i, width in enumerate(widths)
        )
        self.out_channels = tuple(widths[i] for i in out_indices)
        self.position_map = nn.Parameter(torch.zeros(1, self.stem_channels, *position_map)) if position_map else None

    def init_weights(self) -> None:
        if not load_pretrained(self, from_convolutional, may_lack='out_norms|position_map'):
            super().init_weights()
        if self.position_map is not None:
            nn.init.trunc_normal_(self.position_map, std=0.02)

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W) normalised photos -> normalised maps (B, C_i, H_i, W_i); ``fuse`` as in Swin's."""
        x = self.stem(x) if self.deep_stem else self.relu(self.norm1(self.conv1(x)))
        if self.use_max_pool:
            x = self.maxpool(x)
        if self.position_map is not None:
            x = x + F.interpolate(self.position_map, x.shape[-2:], mode='bilinear', align_corners=True)
        outs = []
        for i, name in enumerate(self.res_layers):
            x = getattr(self, name)(x)
            out = x
            if fuse is not None:
                out, feedback = fuse(i, x)
                x = x + feedback
            if i in self.out_indices:
                outs.append(self.out_norms[i](out))
        return outs
