"""The light decoder of the paper, which is LAVT's."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmseg.registry import MODELS
from torch import Tensor, nn

from .upsampled_conv import UpsampledConv


@MODELS.register_module()
class LightDecodeHead(BaseModule):
    """From the coarsest map to the finest: up-sample, concatenate, two 3x3 convolutions; then 2-class logits.

    Args:
        channels: C_i of the four maps, finest first.
        hidden: width K; default C_3 / 2.
        num_classes: 2, background and target.
        norm_cfg: batch norm by default; a runner with several processes synchronises it (``sync_bn``).
    """

    def __init__(
        self,
        channels: Sequence[int],
        hidden: int | None = None,
        num_classes: int = 2,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        hidden = hidden or channels[-1] // 2
        norm_cfg = norm_cfg or dict(type='BN')
        coarse = [channels[-1]] + [hidden] * (len(channels) - 2)
        self.blocks = ModuleList(
            nn.Sequential(
                ConvModule(up + skip, hidden, 3, padding=1, conv_cfg=dict(type=UpsampledConv), norm_cfg=norm_cfg),
                ConvModule(hidden, hidden, 3, padding=1, norm_cfg=norm_cfg),
            )
            for up, skip in zip(coarse, reversed(channels[:-1]), strict=True)
        )
        self.classify = nn.Conv2d(hidden, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()  # as the official decoder begins; ConvModule begins four times as large

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """feats (B, C_i, H_i, W_i), finest first -> logits (B, classes, H_0, W_0)."""
        x = feats[-1]
        for block, skip in zip(self.blocks, reversed(feats[:-1]), strict=True):
            x = block((x, skip))
        return self.classify(x)
