"""A 3x3 convolution of a map that is up-sampled first, without up-sampling its channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import made_once

NARROW = 4
"""On a CPU, 32 channels of 16 x 16 take 0.50 ms against 0.44 plainly, 384 of 60 x 60 take 0.60 of the plain time."""


class UpsampledConv(nn.Conv2d):
    """``conv(cat([interpolate(x, size of skip), skip]))``, bilinear, corners aligned, for a 3x3 kernel, padding 1.

    Up-sampling and the taps of the kernel act on pixels, the kernel's matrices on channels, so their order does not
    matter: here the channels are mixed on the small map, and what each tap sees is gathered on the large one. That is
    the same sum in another order, with half of the multiplications for 512 channels on 60 x 60 pixels that become
    120 x 120. Gathering costs the more the larger the map is, whatever its channels: where x has less than ``NARROW``
    times as many channels as pixels on a side, the plain computation runs.

    Args:
        in_channels: of x and skip together.
        out_channels: of the result.
        kernel_size, padding, stride, dilation: 3, 1, 1, 1.
        kwargs: of ``nn.Conv2d``.

    Raises:
        ValueError: any other kernel.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        **kwargs,
    ):
        if (kernel_size, stride, padding, dilation) != (3, 1, 1, 1):
            raise ValueError(
                f'UpsampledConv is of 3 x 3 with padding 1; got {kernel_size=}, {stride=}, {padding=}, {dilation=}'
            )
        super().__init__(in_channels, out_channels, 3, padding=1, **kwargs)

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        """x (B, C1, h, w) and skip (B, C2, H, W), C1 + C2 = in_channels -> (B, out_channels, H, W)."""
        x, skip = maps
        if x.shape[1] < NARROW * max(x.shape[2:]):
            x = F.interpolate(x, skip.shape[2:], mode='bilinear', align_corners=True)
            return super().forward(torch.cat([x, skip], dim=1))
        of_x, of_skip = self.weight.split([x.shape[1], skip.shape[1]], dim=1)
        # a sum has the layout of what stands first: here that of the maps
        return F.conv2d(skip, of_skip, self.bias, padding=1) + _upsample_and_convolve(x, of_x, skip.shape[2:])


def _upsample_and_convolve(x: Tensor, weight: Tensor, size: torch.Size) -> Tensor:
    """x (B, C, h, w), weight (O, C, 3, 3) -> (B, O, H, W)."""
    (b, c, h, w), out = x.shape, len(weight)
    x = x.contiguous(memory_format=torch.channels_last)
    rows = []
    for row in weight.permute(2, 3, 0, 1).reshape(3, 3 * out, c, 1, 1):  # of the kernel: tap and channel
        mixed = F.conv2d(x, row).permute(0, 2, 3, 1).reshape(b, h, w * 3, out)
        rows.append(_taps(w, size[1], x.device, mixed.dtype) @ mixed)
    mixed = torch.stack(rows, dim=2).view(b, h * 3, size[1] * out)
    mixed = _taps(h, size[0], x.device, mixed.dtype) @ mixed
    return mixed.view(b, *size, out).permute(0, 3, 1, 2)


@made_once
def _taps(small: int, large: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """What the three taps of a kernel see at each place of the large line, of the small one: (large, small * 3)."""
    line = torch.eye(small, dtype=torch.float64, device=device)[None]
    line = F.interpolate(line, large, mode='linear', align_corners=True)[0].T
    line = F.pad(line, (0, 0, 1, 1))  # zeros beyond the border, as the convolution pads
    return torch.stack([line[i : i + large] for i in range(3)], -1).flatten(1).to(dtype)
