"""ReLA's region head: learned regions read the photo, the sentence and one another, and each says how much of the
target it holds."""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mgfe_ris.models.deformable import place_kind, sine_places
from mgfe_ris.models.encoders.layout import to_tokens
from mgfe_ris.models.masked_attention import QueryAttention, QueryFeedForward, blocked_outside


class Regions(NamedTuple):
    """What the head says of a batch, in logits of background and target each, in this order."""

    logits: Tensor
    """(B, 2, h, w)."""
    minimap: Tensor
    """(B, P, 2): the regions, row by row, of a coarse map of the photo."""
    no_target: Tensor
    """(B, 2): whether the sentence means something, or nothing in this photo."""


class RegionHead(nn.Module):
    """P regions; in each layer they read one of three maps, inside of their own masks, then one another. In the first
    layer, and there alone, they also read the words.

    r = LN(r + attention(r, map));  first layer: r = r + 0.1 sigmoid(g) LN(r + attention(r, words));
    r = LN(r + attention(r, r));  r = LN(r + feed-forward(r)).
    A region's filter makes its mask of the finest map; the target is the sum of all masks, weighed by the minimap.

    Args:
        in_channels: of the three maps.
        mask_channels: of the finest map, and so of the regions' filters.
        text_channels: of the words.
        channels: D, of the regions, a multiple of 4 and of ``heads``.
        grid: sides of the minimap, which has grid^2 regions.
        layers, heads, hidden: of the layers.

    Raises:
        ValueError: ``channels`` that are no such multiple.
    """

    def __init__(
        self,
        in_channels: int = 256,
        mask_channels: int = 256,
        text_channels: int = 768,
        channels: int = 256,
        grid: int = 10,
        layers: int = 9,
        heads: int = 8,
        hidden: int = 2048,
    ):
        super().__init__()
        if channels % 4:
            raise ValueError(f'head.channels ({channels}) must be a multiple of 4, for the positions of pixels')
        self.channels, self.grid = channels, grid
        self.regions = nn.Embedding(grid**2, channels)
        self.places = nn.Embedding(grid**2, channels)
        self.levels = nn.Embedding(3, channels)
        self.input_proj = nn.ModuleList(_as_wide(in_channels, channels) for _ in range(3))
        self.read_words = WordAttention(channels, text_channels, heads)
        self.layers = nn.ModuleList(RegionLayer(channels, heads, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.mask_filter = perceptron(channels, channels, channels, mask_channels)
        self.minimap = nn.Linear(channels, 2)
        self.no_target = perceptron(channels, channels, 2)

    def forward(self, finest: Tensor, maps: list[Tensor], words: Tensor) -> Regions:
        """finest (B, mask channels, h, w); three maps (B, in channels, h_i, w_i), coarsest first; words (B, T, D)."""
        maps = [project(x) for project, x in zip(self.input_proj, maps, strict=True)]
        sizes = [(x.shape[2], x.shape[3]) for x in maps]
        memories = [to_tokens(x) + level for x, level in zip(maps, self.levels.weight, strict=True)]
        where = [sine_places(*size, self.channels, *place_kind(finest)).to(finest.dtype) for size in sizes]
        regions = self.regions.weight.repeat(finest.shape[0], 1, 1)  # len() would fix a graph to one batch
        for j, layer in enumerate(self.layers):
            level = j % len(maps)
            blocked = blocked_outside(self.masks_of(regions, finest), sizes[level])
            regions = layer.read_map(regions, self.places.weight, memories[level], where[level], blocked)
            if j == 0:
                regions = self.read_words(regions, words)
            regions = layer.read_regions(regions, self.places.weight)
        return self._say(regions, finest)

    def masks_of(self, regions: Tensor, finest: Tensor) -> Tensor:
        """Where each region lies: regions (B, P, D), finest (B, mask channels, h, w) -> logits (B, P, h, w)."""
        return torch.einsum('bpc,bchw->bphw', self.mask_filter(self.norm(regions)), finest)

    def _say(self, regions: Tensor, finest: Tensor) -> Regions:
        regions = self.norm(regions)
        minimap = self.minimap(regions)
        # filters are summed before they meet the map, in the place of P masks after it
        target_filter = minimap.transpose(1, 2) @ self.mask_filter(regions)
        logits = torch.einsum('bac,bchw->bahw', target_filter, finest)
        return Regions(logits, minimap, self.no_target(regions).mean(1))


class RegionLayer(nn.Module):
    """What a layer does beside reading words; arguments as of :class:`RegionHead`."""

    def __init__(self, channels: int, heads: int, hidden: int):
        super().__init__()
        self.image = QueryAttention(channels, heads)
        self.region = QueryAttention(channels, heads)
        self.ffn = QueryFeedForward(channels, hidden)

    def read_map(self, regions: Tensor, places: Tensor, memory: Tensor, where: Tensor, blocked: Tensor) -> Tensor:
        """regions (B, P, D), places (P, D), memory (B, M, D), where (M, D), blocked (B, P, M) -> (B, P, D)."""
        return self.image(regions, places, memory, where, blocked)

    def read_regions(self, regions: Tensor, places: Tensor) -> Tensor:
        """regions (B, P, D), places (P, D) -> (B, P, D)."""
        return self.ffn(self.region(regions, places, regions, places))


class WordAttention(nn.Module):
    """r + 0.1 sigmoid(g) LN(r + attention(r, words)). Padding is read as words are.

    Args:
        channels: D, of the regions.
        text_channels: of the words, whose projection begins with zeros.
        heads: of the attention.
    """

    def __init__(self, channels: int, text_channels: int, heads: int):
        super().__init__()
        self.project = nn.Linear(text_channels, channels, bias=False)
        self.read = QueryAttention(channels, heads)
        self.weight = nn.Parameter(torch.zeros(()))
        nn.init.zeros_(self.project.weight)

    def forward(self, regions: Tensor, words: Tensor) -> Tensor:
        """regions (B, P, D), words (B, T, text channels) -> (B, P, D)."""
        return regions + 0.1 * self.weight.sigmoid() * self.read(regions, 0.0, self.project(words), 0.0)


def perceptron(*channels: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for width, next_width in pairwise(channels):
        layers += [nn.Linear(width, next_width), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _as_wide(in_channels: int, channels: int) -> nn.Module:
    """Where maps are as wide as regions already, nothing."""
    if in_channels == channels:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, channels, 1)
    nn.init.kaiming_uniform_(conv.weight, a=1)
    nn.init.zeros_(conv.bias)
    return conv
