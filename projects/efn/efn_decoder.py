"""The decoder: from the deepest map up, each time taking a map apart into body and edge."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from efn_fusion import conv_norm_prelu
from torch import Tensor, nn


def stretch(x: Tensor, size: Sequence[int]) -> Tensor:
    """x (B, C, h, w) -> (B, C, *size), bilinear."""
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=False)


class Step(NamedTuple):
    """What one step of the decoder makes, and its losses see."""

    body: Tensor
    """(B, n, h, w) of the map that was taken apart."""
    edge: Tensor
    """(B, n, H, W), of the size of the next map."""
    out: Tensor
    """The next map; after the last step, the logits."""


class BoundaryDecoder(nn.Module):
    """Five maps, made narrow, from the deepest to the widest; where two meet, the edges of the one are drawn anew with
    the help of the other.

    Args:
        in_channels: of the five maps, the largest first.
        channels: u; the maps become u, 2 u, 4 u, 8 u and 16 u wide.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 32):
        super().__init__()
        u = channels
        self.reduce = nn.ModuleList(conv_norm_prelu(c, u * 2**i) for i, c in enumerate(in_channels))
        self.first = conv_norm_prelu(16 * u, 8 * u)
        widths = [8 * u, 4 * u, 2 * u, u]  # of the maps that are taken apart
        self.split = nn.ModuleList(BodyAndEdge(n, hidden=u) for n in widths)
        self.draw = nn.ModuleList(nn.Conv2d(2 * n, n, 1, bias=False) for n in widths)
        self.out = nn.ModuleList(conv_norm_prelu(2 * n, n // 2) for n in widths[:3])
        self.out.append(nn.Sequential(conv_norm_prelu(2 * u, u), nn.Conv2d(u, 1, 3, padding=1)))
        self.body_heads = nn.ModuleList(_head(n, max(n // 2, u)) for n in widths)
        self.edge_heads = nn.ModuleList(_head(n, max(n // 2, u)) for n in widths)
        self.mask_heads = nn.ModuleList(_head(n, max(n // 2, u)) for n in widths[1:])

    def forward(self, maps: Sequence[Tensor]) -> list[Step]:
        """Five maps (B or 1, C_i, H_i, W_i), the last one of B -> four steps, of which the last gives the logits."""
        maps = [reduce(x) for reduce, x in zip(self.reduce, maps, strict=True)]
        x, steps = self.first(maps[-1]), []
        for split, draw, out, lateral in zip(self.split, self.draw, self.out, maps[-2::-1], strict=True):
            body, edge = split(x)
            lateral = lateral.expand(x.shape[0], -1, -1, -1)
            size = lateral.shape[-2:]
            edge = draw(torch.cat([stretch(edge, size), lateral], dim=1))
            x = out(torch.cat([stretch(x, size), edge + stretch(body, size)], dim=1))
            steps.append(Step(body, edge, x))
        return steps

    def sides(self, steps: Sequence[Step]) -> dict[str, Tensor]:
        """Logits of masks, bodies and edges at all sizes, the last step's mask aside: ``mask2`` to ``mask4``, ``body1``
        to ``body4`` and ``edge1`` to ``edge4``, 1 the largest; as training sees them, (B, 1, h, w) each."""
        found = {}
        for i, step in enumerate(steps):
            number = len(steps) - i
            found[f'body{number}'] = self.body_heads[i](step.body)
            found[f'edge{number}'] = self.edge_heads[i](step.edge)
            if number > 1:
                found[f'mask{number}'] = self.mask_heads[i](step.out)
        return found


def _head(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(conv_norm_prelu(in_channels, channels), nn.Conv2d(channels, 1, 1, bias=False))


class BodyAndEdge(nn.Module):
    """Its body is the map, moved as a whole; its edge is what the map has besides.

    The map itself says by which affine transform it is moved; at the start, by none, and the edge is 0.

    Args:
        channels: n.
        hidden: of the layer before the transform.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.down = nn.Sequential(*_halve(channels), *_halve(channels))
        self.flow = nn.Conv2d(2 * channels, channels, 3, padding=1, bias=False)
        self.move = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, 6))
        nn.init.zeros_(self.move[2].weight)
        self.move[2].bias.data.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, n, h, w) -> body and edge, of the same size."""
        far = stretch(self.down(x), x.shape[-2:])
        theta = self.move(self.flow(torch.cat([x, far], dim=1)).mean((2, 3))).unflatten(1, (2, 3))
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        body = F.grid_sample(x, grid, mode='bilinear', padding_mode='zeros', align_corners=False)
        return body, x - body


def _halve(channels: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels)
    return conv, nn.BatchNorm2d(channels), nn.ReLU()
