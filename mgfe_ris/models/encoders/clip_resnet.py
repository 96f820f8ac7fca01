"""CLIP's residual network (Radford et al., ICML 2021) with a slot for language after each stage."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..clip_checkpoints import from_clip_resnet
from ..fusion.neck import Fuse
from ..renaming import State
from .layout import to_tokens
from .position_table import resize_position_table
from .pretrained import load_pretrained


@MODELS.register_module()
class CLIPResNetEncoder(BaseModule):
    """CLIP's image tower of convolutions, under the parameter names of its authors.

    Unlike ResNet's, its stem is three convolutions and an average pool, and what makes a map smaller is an average
    pool, behind the 3x3 convolution and ahead of the shortcut's.

    Args:
        depths: blocks of each stage; (3, 4, 6, 3): RN50, (3, 4, 23, 3): RN101.
        base_channels: of the stem; stage i has 4 * 2^i times as many.
        attention_pool: None, or the arguments of :class:`AttentionPool`, ``in_channels`` aside: CLIP's pool in the form
            of CRIS, a map in the place of one vector, which is then the last stage's.
        norm_outs: norm what goes to the decoder, as the other encoders do; False: CLIP's own maps, as CRIS reads them.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of OpenAI, of CRIS or of ETRIS. OpenAI's has
            no ``attention_pool.connect``.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 4, 6, 3),
        base_channels: int = 64,
        attention_pool: dict | None = None,
        norm_outs: bool = True,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        half = base_channels // 2
        self.conv1 = nn.Conv2d(3, half, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, base_channels, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(base_channels)
        self.widths = [4 * base_channels * 2**i for i in range(len(depths))]
        before = base_channels
        for i, (depth, width) in enumerate(zip(depths, self.widths, strict=True)):
            blocks = [_Block(before if j == 0 else width, width, 2 if i and not j else 1) for j in range(depth)]
            setattr(self, f'layer{i + 1}', nn.Sequential(*blocks))
            before = width
        self.attnpool = AttentionPool(before, **attention_pool) if attention_pool else None
        self.out_norms = nn.ModuleList(nn.GroupNorm(1, width) for width in self.out_channels) if norm_outs else None

    @property
    def out_channels(self) -> tuple[int, ...]:
        """C_i of the stages, of strides 4, 8, 16, 32."""
        last = self.widths[-1] if self.attnpool is None else self.attnpool.out_channels
        return (*self.widths[:-1], last)

    def init_weights(self) -> None:
        if load_pretrained(self, self._convert, may_lack=r'out_norms|attnpool\.connect'):
            return
        for module in self.modules():
            if isinstance(module, _Block):  # each block begins as its shortcut
                nn.init.zeros_(module.bn3.weight)

    def _convert(self, checkpoint: Mapping[str, Any]) -> State:
        state = from_clip_resnet(checkpoint)
        return state if self.attnpool else {k: v for k, v in state.items() if not k.startswith('attnpool.')}

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W) normalised photos, H and W multiples of 32 -> a map (B, C_i, H_i, W_i) of each stage.

        ``fuse`` as in Swin's: what it returns as feedback is added ahead of the next stage.
        """
        x = self.stem(x)
        outs = []
        for i in range(len(self.widths)):
            x = getattr(self, f'layer{i + 1}')(x)
            out = self.attnpool(x) if self.attnpool is not None and i == len(self.widths) - 1 else x
            if fuse is not None:
                out, feedback = fuse(i, out)
                x = x + feedback if out.shape == x.shape else x  # nothing reads it behind the pool
            outs.append(out if self.out_norms is None else self.out_norms[i](out))
        return outs

    def stem(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) -> (B, C, H / 4, W / 4)."""
        for conv, norm in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(norm(conv(x)))
        return F.avg_pool2d(x, 2)


class _Block(nn.Module):
    """1x1, 3x3, pool, 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        planes = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.downsample = None
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self._pool(out)))
        return F.relu(out + (x if self.downsample is None else self.downsample(self._pool(x))))

    def _pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


class AttentionPool(nn.Module):
    """CLIP's pool as CRIS (CVPR 2022) changed it: every position attends to all, and none is a mean.

    r = BN(W_r x);  X = x + P, P stretched to the map (bicubic);  v = ReLU(W_c attention(X) + r).

    Args:
        in_channels: C.
        out_channels: E.
        grid: side of the learned map of positions; 7 in CLIP, whose photos are 224 wide. Its first row, of CLIP's mean,
            is kept and not read.
        head_channels: of a head; 64 in CLIP.
    """

    def __init__(self, in_channels: int, out_channels: int, grid: int = 7, head_channels: int = 64):
        super().__init__()
        if in_channels % head_channels:
            raise ValueError(f'attention_pool: {in_channels} channels are no multiple of head_channels={head_channels}')
        self.out_channels = out_channels
        self.grid = grid
        self.heads = in_channels // head_channels
        self.positional_embedding = nn.Parameter(torch.randn(grid**2 + 1, in_channels) / in_channels**0.5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(in_channels, in_channels) for _ in range(3))
        self.c_proj = nn.Linear(in_channels, out_channels)
        for linear in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(linear.weight, std=in_channels**-0.5)
        connect = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.connect = nn.Sequential(connect, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, h, w) -> (B, E, h, w), not negative."""
        places = resize_position_table(self.positional_embedding, (x.shape[2], x.shape[3]))[1:]
        tokens = to_tokens(x) + places
        q, k, v = (
            linear(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        heard = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return F.relu(self.c_proj(heard).transpose(1, 2).unflatten(2, x.shape[-2:]) + self.connect(x))
