"""MagNet's masked decoder: Mask2Former's, with one query."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mgfe_ris.models.deformable import place_kind, sine_places
from mgfe_ris.models.encoders.layout import to_tokens
from mgfe_ris.models.masked_attention import QueryAttention, QueryFeedForward, blocked_outside


class MaskDecoder(nn.Module):
    """A learned query reads maps in turn, each time inside of the mask that it has found so far.

    Args:
        channels: D, of the query and the maps.
        mask_channels: E, of the map in which masks are found.
        layers: of attention to a map, attention among queries (of one query, a linear layer), feed-forward.
        heads: of the attentions.
        hidden: channels of the feed-forward part.
        levels: number of maps.
    """

    def __init__(
        self,
        channels: int = 256,
        mask_channels: int = 256,
        layers: int = 9,
        heads: int = 8,
        hidden: int = 2048,
        levels: int = 3,
    ):
        super().__init__()
        self.query_feat, self.query_embed = (nn.Parameter(torch.randn(1, channels)) for _ in range(2))
        self.level_embed = nn.Parameter(torch.randn(levels, channels))
        self.cross_attention = nn.ModuleList(QueryAttention(channels, heads) for _ in range(layers))
        self.self_attention = nn.ModuleList(QueryAttention(channels, heads) for _ in range(layers))
        self.feed_forward = nn.ModuleList(QueryFeedForward(channels, hidden) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)
        self.mask_embed = nn.Sequential(
            *(nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()),
            nn.Linear(channels, mask_channels),
        )
        # of released weights; its softmax is over the queries, of which there is one, so that it changes nothing
        self.class_embed = nn.Linear(channels, 2)
        self.class_embed.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor], mask_features: Tensor) -> list[Tensor]:
        """The masks before the first layer and after each.

        Args:
            maps: (B, D, h_i, w_i), in the order in which layers read them.
            mask_features: (B, E, H, W).

        Returns:
            logits, 1 + layers of (B, 1, H, W).
        """
        sizes = [(x.shape[2], x.shape[3]) for x in maps]
        levels = [to_tokens(x) + level for x, level in zip(maps, self.level_embed, strict=True)]
        kind = place_kind(mask_features)
        places = [sine_places(*size, self.norm.normalized_shape[0], *kind).to(levels[0].dtype) for size in sizes]
        x = self.query_feat.repeat(mask_features.shape[0], 1, 1)  # a view would count as a parameter in some of torch
        masks = [self._mask(x, mask_features)]
        for j, feed_forward in enumerate(self.feed_forward):
            i = j % len(maps)
            blocked = blocked_outside(masks[-1], sizes[i])
            x = self.cross_attention[j](x, self.query_embed, levels[i], places[i], blocked)
            x = feed_forward(self.self_attention[j](x, self.query_embed, x, self.query_embed))
            masks.append(self._mask(x, mask_features))
        return masks

    def _mask(self, x: Tensor, mask_features: Tensor) -> Tensor:
        kernel = self.mask_embed(self.norm(x))
        return (kernel @ mask_features.flatten(2)).unflatten(2, mask_features.shape[2:])
