"""Wide ResNet (Zagoruyko and Komodakis, BMVC 2016) whose stages go on with what language made of their maps."""

from collections.abc import Callable, Sequence

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from mgfe_ris.models.checkpoints import from_convolutional
from mgfe_ris.models.encoders.pretrained import load_pretrained


@MODELS.register_module()
class WideResNet(BaseModule):
    """torchvision's blocks and names, twice as wide inside as a ResNet's; the last stage keeps the size of its input.

    Args:
        depths: blocks of the four stages.
        channels: C_i of the five maps, strides 2, 4, 8, 16, 16; the first is the stem's, before the pool.
        init_cfg: ``dict(type='Pretrained', checkpoint=...)`` with a file of torchvision.

    Raises:
        ValueError: not four depths and five widths.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 4, 23, 3),
        channels: Sequence[int] = (64, 256, 512, 1024, 2048),
        init_cfg: dict | None = None,
    ):
        super().__init__(init_cfg)
        if (len(depths), len(channels)) != (4, 5):
            raise ValueError(f'expected depths of 4 stages and channels of 5 maps; got {depths} and {channels}')
        self.out_channels = tuple(channels)
        self.conv1 = nn.Conv2d(3, channels[0], 7, stride=2, padding=3, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(channels[0]), nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for i, (depth, stride) in enumerate(zip(depths, (1, 2, 2, 1), strict=True)):
            setattr(self, f'layer{i + 1}', _stage(depth, *channels[i : i + 2], stride))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def init_weights(self) -> None:
        load_pretrained(self, from_convolutional, may_lack='$')

    def forward(self, x: Tensor, fuse: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
        """x (B, 3, H, W) -> five maps (B, C_i, H_i, W_i); each stage reads what ``fuse``, given the number of a map, 1
        to 5, and the map, made of the one before."""
        maps = [fuse(1, self.relu(self.bn1(self.conv1(x))))]
        for i in range(1, 5):
            x = self.maxpool(maps[0]) if i == 1 else maps[-1]
            maps.append(fuse(i + 1, getattr(self, f'layer{i}')(x)))
        return maps


def _stage(depth: int, in_channels: int, channels: int, stride: int) -> nn.Sequential:
    width = channels // Bottleneck.expansion
    wide = dict(base_width=128)  # of 64 channels, and so on
    shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
    first = Bottleneck(in_channels, width, stride, shortcut, **wide)
    return nn.Sequential(first, *(Bottleneck(channels, width, **wide) for _ in range(depth - 1)))
