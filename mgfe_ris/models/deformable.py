"""Multi-scale deformable attention (Deformable DETR, Zhu et al., ICLR 2021) and the encoder that Mask2Former's pixel
decoder makes of it. In plain PyTorch: no compiled operator, any device, exported as it is."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import made_once
from .encoders.layout import to_map, to_tokens
from .pixel_decoder import sine

Sizes = tuple[tuple[int, int], ...]
"""(height, width) of each map."""


class DeformableEncoder(nn.Module):
    """Maps of several strides become of one width; then each pixel of each map attends to a few points of all maps.

    Its parameters have the names and the shapes of Mask2Former's, but for the prefixes ``transformer.`` and
    ``transformer.encoder.``.

    Args:
        in_channels: C_i of the maps, in their order; Mask2Former and its heirs begin with the coarsest.
        channels: D, a multiple of 32 (the groups of the norms) and of ``heads``.
        layers: how many.
        heads: of the attention.
        points: that a head samples in each map.
        hidden: channels of the feed-forward part.

    Raises:
        ValueError: ``channels`` that are no such multiple.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        layers: int = 6,
        heads: int = 8,
        points: int = 4,
        hidden: int = 1024,
    ):
        super().__init__()
        if channels % 32:
            raise ValueError(f'channels ({channels}) must be a multiple of 32, the number of groups in a norm')
        self.channels = channels
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, channels, 1), nn.GroupNorm(32, channels)) for width in in_channels
        )
        self.level_embed = nn.Parameter(torch.randn(len(in_channels), channels))
        self.layers = nn.ModuleList(
            DeformableLayer(channels, heads, len(in_channels), points, hidden) for _ in range(layers)
        )
        for module in self.input_proj.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """feats (B, C_i, h_i, w_i) -> as many maps (B, D, h_i, w_i), in the same order."""
        maps = [project(x) for project, x in zip(self.input_proj, feats, strict=True)]
        sizes = tuple((x.shape[2], x.shape[3]) for x in maps)
        lengths = [height * width for height, width in sizes]
        tokens = torch.cat([to_tokens(x) for x in maps], dim=1)
        of_levels = [sine_places(*size, self.channels, *place_kind(tokens)).to(tokens.dtype) for size in sizes]
        places = torch.cat([place + level for place, level in zip(of_levels, self.level_embed, strict=True)])
        centres = pixel_centres(sizes, *place_kind(tokens))
        for layer in self.layers:
            tokens = layer(tokens, places, centres, sizes)
        return [to_map(x, size) for x, size in zip(tokens.split(lengths, dim=1), sizes, strict=True)]


class DeformableLayer(nn.Module):
    """x = LN(x + attention(x + places, x)); x = LN(x + W2 relu(W1 x)).

    Args:
        channels, heads, levels, points: of the attention, see :class:`DeformableAttention`.
        hidden: channels of the feed-forward part.
    """

    def __init__(self, channels: int, heads: int, levels: int, points: int, hidden: int):
        super().__init__()
        self.self_attn = DeformableAttention(channels, heads, levels, points)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.linear1, self.linear2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        for linear in (self.linear1, self.linear2):
            nn.init.xavier_uniform_(linear.weight)

    def forward(self, x: Tensor, places: Tensor, centres: Tensor, sizes: Sizes) -> Tensor:
        """x (B, N, D), places (N, D), centres (N, 2) -> (B, N, D)."""
        x = self.norm1(x + self.self_attn(x + places, centres, x, sizes))
        return self.norm2(x + self.linear2(F.relu(self.linear1(x))))


class DeformableAttention(nn.Module):
    """Each query reads ``points`` points of every map, near its own place; how near and how much, it says itself.

    Args:
        channels: D, of queries and maps, a multiple of ``heads``.
        heads: of D / heads channels each.
        levels: number of maps.
        points: per head and map.

    Raises:
        ValueError: ``channels`` that are no multiple of ``heads``.
    """

    def __init__(self, channels: int, heads: int = 8, levels: int = 4, points: int = 4):
        super().__init__()
        if channels % heads:
            raise ValueError(f'channels ({channels}) must be a multiple of heads ({heads})')
        self.shape = (heads, levels, points)
        self.sampling_offsets = nn.Linear(channels, heads * levels * points * 2)
        self.attention_weights = nn.Linear(channels, heads * levels * points)
        self.value_proj, self.output_proj = nn.Linear(channels, channels), nn.Linear(channels, channels)
        self._init_weights()

    def _init_weights(self) -> None:
        """At first a head looks in its own direction, 1, 2, ... pixels far, and weighs all points alike."""
        heads, levels, points = self.shape
        for linear in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)
        for linear in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        angles = torch.arange(heads, dtype=torch.float32) * (2 * math.pi / heads)
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        directions /= directions.abs().amax(dim=1, keepdim=True)  # on the border of a square, not of a circle
        far = torch.arange(1, points + 1, dtype=torch.float32)
        offsets = directions[:, None, None] * far[:, None].expand(levels, points, 1)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.flatten())

    def forward(self, query: Tensor, centres: Tensor, memory: Tensor, sizes: Sizes) -> Tensor:
        """Look around the centres.

        Args:
            query: (B, N, D).
            centres: (N, 2) or (B, N, 2), x and y of each query, from 0 to 1 over a map, whatever its size.
            memory: (B, M, D), the pixels of all maps, row by row, map after map.
            sizes: of the maps.

        Returns:
            (B, N, D).
        """
        heads, levels, points = self.shape
        offsets = self.sampling_offsets(query).unflatten(-1, (heads, levels, points, 2))
        extent = extents(sizes, offsets.device, offsets.dtype)
        where = centres[..., None, None, None, :] + offsets / extent[:, None]
        weights = self.attention_weights(query).unflatten(-1, (heads, levels * points)).softmax(-1)
        value = self.value_proj(memory).unflatten(-1, (heads, -1))
        # graphs, and other devices than the CPU, have a kernel that samples maps
        rows_are_faster = value.device.type == 'cpu' and not torch.compiler.is_compiling()
        sample = sample_rows if rows_are_faster else sample_maps
        heard = sample(value, sizes, where, weights.unflatten(-1, (levels, points)))
        return self.output_proj(heard.flatten(2))


def sample_maps(value: Tensor, sizes: Sizes, where: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of points of several maps, bilinear; there is nothing but 0 outside of a map.

    Args:
        value: (B, M, heads, d), the pixels of all maps, row by row, map after map.
        sizes: L of them.
        where: (B, N, heads, L, points, 2), x and y from 0, a map's left or upper border, to 1, the other one.
        weights: (B, N, heads, L, points).

    Returns:
        (B, N, heads, d).
    """
    heads = value.shape[2]
    grids = (2 * where - 1).transpose(1, 2).flatten(0, 1)
    weights = weights.transpose(1, 2).flatten(0, 1)
    levels = value.split([height * width for height, width in sizes], dim=1)
    heard: Tensor | None = None
    for level, (size, pixels) in enumerate(zip(sizes, levels, strict=True)):
        x = pixels.permute(0, 2, 3, 1).flatten(0, 1).unflatten(-1, size)  # a head is a photo of its own
        seen = F.grid_sample(x, grids[:, :, level].to(x.dtype), align_corners=False)
        seen = (seen * weights[:, None, :, level].to(x.dtype)).sum(-1)
        heard = seen if heard is None else heard + seen
    assert heard is not None
    return heard.unflatten(0, (-1, heads)).permute(0, 3, 1, 2)


def sample_rows(value: Tensor, sizes: Sizes, where: Tensor, weights: Tensor) -> Tensor:
    """What :func:`sample_maps` gives, in less time on a CPU: all channels of a pixel are read at once.

    A query is the weighted sum of rows of one table, the four pixels around each of its points.
    """
    batch, pixels, heads, width = value.shape
    rows, shares = [], []
    begin = 0
    for level, size in enumerate(sizes):
        y_rows, y_shares = two_nearest(where[:, :, :, level, :, 1], size[0])
        x_rows, x_shares = two_nearest(where[:, :, :, level, :, 0], size[1])
        for y, y_share in zip(y_rows, y_shares, strict=True):
            weighted = y_share * weights[:, :, :, level]
            for x, x_share in zip(x_rows, x_shares, strict=True):
                rows.append(begin + y * size[1] + x)
                shares.append(weighted * x_share)
        begin += size[0] * size[1]
    photo, head = torch.arange(batch)[:, None, None, None], torch.arange(heads)[:, None]
    bags = ((torch.cat(rows, -1) + photo * pixels) * heads + head).flatten(0, 2)
    each = torch.cat(shares, -1).flatten(0, 2).to(value.dtype)
    table = value.reshape(-1, width)
    heard = F.embedding_bag(bags, table.detach(), mode='sum', per_sample_weights=each)
    return TableGradient.apply(heard, table, bags, each).view(batch, -1, heads, width)


class TableGradient(torch.autograd.Function):
    """Weighted sums of a table's rows as they are; after them the table's gradient, in half of the time that
    ``embedding_bag`` takes for it: each of its rows is a weighted sum of the gradients of those who read it.

    Inputs: sums (Q, d), the table (R, d), the rows that each sum reads, and their weights, both (Q, K).
    """

    @staticmethod
    def forward(ctx: Any, heard: Tensor, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(rows, weights)
        ctx.length = len(table)
        return heard.view_as(heard)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        rows, weights = ctx.saved_tensors
        read = rows.flatten()
        order = read.argsort()
        times = torch.bincount(read, minlength=ctx.length)
        of_table = F.embedding_bag(
            order // rows.shape[1],
            gradient.contiguous(),
            times.cumsum(0) - times,  # where the readers of each row begin
            mode='sum',
            per_sample_weights=weights.flatten()[order],
        )
        return gradient, of_table, None, None


def two_nearest(where: Tensor, length: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The pixels before and after places from 0 to 1 on an axis, and the share of each: 0 outside of the axis."""
    place = where * length - 0.5
    before = place.detach().floor()
    part = place - before
    inside = [(n >= 0) & (n < length) for n in (before, before + 1)]
    pixels = [n.long().clamp(0, length - 1) for n in (before, before + 1)]
    return (pixels[0], pixels[1]), ((1 - part) * inside[0], part * inside[1])


@made_once
def extents(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(L, 2), width and height of each map. Made once: a GPU is waited for where numbers of Python are copied to it."""
    return torch.tensor([(width, height) for height, width in sizes], device=device, dtype=dtype)


@made_once
def pixel_centres(sizes: Sizes, device: torch.device, dtype: torch.dtype) -> Tensor:
    """x and y of each pixel's centre, from 0 to 1 over its map: (M, 2), row by row, map after map."""
    centres = []
    for height, width in sizes:
        y = (torch.arange(height, device=device, dtype=dtype) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=dtype) + 0.5) / width
        centres.append(torch.stack([x.repeat(height), y.repeat_interleave(width)], dim=1))
    return torch.cat(centres)


@made_once
def sine_places(height: int, width: int, channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(height * width, channels): half of the channels for the row, half for the column, each map from 0 to 2 pi."""

    def axis(length: int) -> Tensor:
        place = torch.arange(1, length + 1, device=device, dtype=dtype) * (2 * math.pi / (length + 1e-6))
        return sine(place, channels // 2)

    shape = height, width, channels // 2
    return torch.cat([axis(height)[:, None].expand(shape), axis(width)[None].expand(shape)], dim=2).flatten(0, 1)


def place_kind(x: Tensor) -> tuple[torch.device, torch.dtype]:
    """Device and type of the places of what ``x`` holds: float32 at least, where bfloat16 mistakes a pixel for the
    next one."""
    return x.device, torch.promote_types(x.dtype, torch.float32)
