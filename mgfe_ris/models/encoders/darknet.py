"""DarkNet-53, the encoder of YOLOv3 (Redmon and Farhadi, 2018), as SeqTR reads it."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..frozen import freeze
from ..fusion.neck import Fuse
from ..renaming import state_dict_of
from .darknet_weights import DARKNET_SUFFIX, read_darknet
from .pretrained import load_pretrained


@MODELS.register_module()
class DarkNetEncoder(BaseModule):
    """Photo -> maps of strides 4, 8, 16, 32. Darknet's own weights expect photos in RGB, from 0 to 1.

    Its layers are numbered as in SeqTR: a convolution; a convolution of stride 2 and pairs with a shortcut, five times;
    and of YOLOv3's head two more pairs, without a shortcut, and a third one.

    Args:
        widths: of the first convolution and of the five strides.
        depths: pairs of convolutions with a shortcut, of strides 2, 4, 8, 16, 32.
        frozen: layers from the first on that are not trained. Their batch norms go on to norm by the batch in training,
            and move their statistics, as in SeqTR.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of Darknet, ``.weights``, or of our names.

    Raises:
        ValueError: not as many widths as belong to the depths.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256, 512, 1024),
        depths: Sequence[int] = (1, 2, 8, 8, 4),
        frozen: int = 0,
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if len(widths) != len(depths) + 1:
            raise ValueError(f'encoder.widths: expected one more than encoder.depths; got {widths} and {depths}')
        layers: list[nn.Module] = [ConvNorm(3, widths[0], 3)]
        for before, width, depth in zip(widths, widths[1:], depths, strict=False):
            layers += [ConvNorm(before, width, 3, stride=2), Pairs(width, depth)]
        *_, narrow, last = widths
        layers += [Pairs(last, 2, shortcut=False), ConvNorm(last, narrow, 1), ConvNorm(narrow, last, 3)]
        self.layers = nn.ModuleList(layers)
        self.out_channels = tuple(widths[-4:])
        ends = range(2, 2 * len(depths) + 1, 2)  # of the strides
        self.read = [*ends[-4:-1], len(layers) - 1]
        for layer in layers[:frozen]:
            freeze(layer)

    def init_weights(self) -> None:
        source = self.init_cfg['checkpoint'] if isinstance(self.init_cfg, dict) else ''
        if str(source).endswith(DARKNET_SUFFIX):
            read_darknet(self, source)
        else:
            load_pretrained(self, state_dict_of, may_lack='$')

    def forward(self, x: Tensor, fuse: Fuse | None = None) -> list[Tensor]:
        """x (B, 3, H, W), H and W multiples of 32 -> four maps (B, C_i, H_i, W_i), strides 4, 8, 16, 32; ``fuse`` as in
        Swin's."""
        outs: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.read:
                out = x
                if fuse is not None:
                    out, feedback = fuse(len(outs), x)
                    x = x + feedback
                outs.append(out)
        return outs


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, leaky ReLU of slope 0.1.

    Args:
        in_channels, out_channels, kernel, stride: of the convolution, which keeps the size but for the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, H / stride, W / stride)."""
        return F.leaky_relu(self.bn(self.conv(x)), 0.1)


class Pairs(nn.Module):
    """1x1 to half of the width and 3x3 back, several times.

    Args:
        channels: C.
        depth: how many.
        shortcut: around each of them.
    """

    def __init__(self, channels: int, depth: int, shortcut: bool = True):
        super().__init__()
        self.shortcut = shortcut
        self.pairs = nn.ModuleList(
            nn.Sequential(ConvNorm(channels, channels // 2, 1), ConvNorm(channels // 2, channels, 3))
            for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        for pair in self.pairs:
            x = x + pair(x) if self.shortcut else pair(x)
        return x
