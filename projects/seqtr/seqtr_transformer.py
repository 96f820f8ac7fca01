"""SeqTR's transformer: pixels ask pixels; then numbers are said one after the other, each knowing those before."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.pixel_decoder import sine

Memory = tuple[Tensor, Tensor]
"""Keys and values, (B, heads, M, D / heads)."""


class SequenceTransformer(nn.Module):
    """Map -> a sequence of numbers.

    Args:
        in_channels: of the map.
        length: of the sequence.
        words: numbers that there are, the end among them.
        channels: D, a multiple of 32 (the groups of a norm) and of ``heads``.
        heads: of the attentions.
        hidden: channels of the feed-forward parts.
        encoder_layers, decoder_layers: how many.
        dropout: of attentions and feed-forward parts.

    Raises:
        ValueError: heads that do not divide the width.
    """

    def __init__(
        self,
        in_channels: int,
        length: int,
        words: int,
        channels: int = 256,
        heads: int = 8,
        hidden: int = 1024,
        encoder_layers: int = 6,
        decoder_layers: int = 3,
        dropout: float = 0.1,
    ):
        super().__init__()
        if channels % heads:
            raise ValueError(f'transformer.heads: expected a divisor of {channels} channels; got {heads}')
        self.input_proj = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.GroupNorm(32, channels))
        self.places = nn.Embedding(length, channels)
        self.table = nn.Embedding(words, channels)
        self.encoder = nn.ModuleList(Layer(channels, heads, hidden, dropout) for _ in range(encoder_layers))
        self.decoder = nn.ModuleList(Layer(channels, heads, hidden, dropout, True) for _ in range(decoder_layers))
        self.norm = nn.LayerNorm(channels)
        self.predictor = nn.Sequential(
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, channels),
            nn.ReLU(),
            nn.Linear(channels, words),
        )
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def encode(self, x: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, C, h, w), padding (B, h, w) bool -> pixels (B, h w, D), their places, and which of them may be read,
        (B, 1, 1, h w)."""
        pixels = self.input_proj(x).flatten(2).mT
        places = sine_places(padding, pixels.shape[2]).to(pixels.dtype)
        seen = ~padding.flatten(1)[:, None, None]
        for layer in self.encoder:
            pixels = layer(pixels, places, layer.among.memory(pixels, places), seen)
        return pixels, places, seen

    def forward(self, x: Tensor, padding: Tensor, sequence: Tensor) -> Tensor:
        """What is said next, after each part of a sequence.

        Args:
            x: (B, C, h, w).
            padding: (B, h, w), True = not of the photo.
            sequence: (B, L) numbers, which the sequence should be.

        Returns:
            logits (B, L, words).
        """
        pixels, of_pixels, seen = self.encode(x, padding)
        said = self.table(sequence[:, :-1])
        said = torch.cat([torch.zeros_like(said[:, :1]), said], dim=1)
        places = self.places.weight[: said.shape[1]]
        before = torch.ones(said.shape[1], said.shape[1], dtype=torch.bool, device=x.device).tril()
        for layer in self.decoder:
            memory = layer.ask.memory(pixels, of_pixels)
            said = layer(said, places, layer.among.memory(said, places), before, memory, seen)
        return self.predictor(self.norm(said))

    def say(self, x: Tensor, padding: Tensor) -> Tensor:
        """x (B, C, h, w), padding (B, h, w) -> (B, L): the likeliest number after those that are said already.

        Keys and values of what was said are kept, so that each step computes one number alone.
        """
        pixels, of_pixels, seen = self.encode(x, padding)
        memories = [layer.ask.memory(pixels, of_pixels) for layer in self.decoder]
        kept: list[Memory | None] = [None] * len(self.decoder)
        said = pixels.new_zeros(len(pixels), 1, pixels.shape[2])
        sequence = []
        for place in self.places.weight.detach().split(1):  # no gradient ever: profilers need to know
            for i, layer in enumerate(self.decoder):
                kept[i] = joined(kept[i], layer.among.memory(said, place))
                said = layer(said, place, kept[i], None, memories[i], seen)
            sequence.append(self.predictor(self.norm(said)).argmax(-1))
            said = self.table(sequence[-1])
        return torch.cat(sequence, dim=1)


def joined(before: Memory | None, new: Memory) -> Memory:
    """Along the sequence."""
    if before is None:
        return new
    return torch.cat([before[0], new[0]], dim=2), torch.cat([before[1], new[1]], dim=2)


class Layer(nn.Module):
    """Attention among themselves, to the pixels where ``asks``, and a feed-forward part; norms after each sum.

    Args:
        channels, heads, hidden, dropout: see :class:`SequenceTransformer`.
        asks: whether there is a second attention.
    """

    def __init__(self, channels: int, heads: int, hidden: int, dropout: float, asks: bool = False):
        super().__init__()
        self.among = Attention(channels, heads, dropout)
        self.ask = Attention(channels, heads, dropout) if asks else None
        self.linear1, self.linear2 = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        places: Tensor,
        own: Memory,
        seen: Tensor | None,
        pixels: Memory | None = None,
        pixels_seen: Tensor | None = None,
    ) -> Tensor:
        """x (B, N, D), places (N, D) or (B, N, D); masks are True where something may be read -> (B, N, D)."""
        x = self.among(x, places, own, seen)
        if self.ask is not None and pixels is not None:
            x = self.ask(x, places, pixels, pixels_seen)
        return self.norm(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class Attention(nn.Module):
    """x = LN(x + attention(x + places, memory)), whose memory can be made ahead.

    Args:
        channels, heads, dropout: see :class:`SequenceTransformer`.
    """

    def __init__(self, channels: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.share = heads, dropout
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.out = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def memory(self, x: Tensor, places: Tensor) -> Memory:
        """x (B, M, D), places (M, D) or (B, M, D), of which only the keys know."""
        return self._split(self.key(x + places)), self._split(self.value(x))

    def forward(self, x: Tensor, places: Tensor, memory: Memory, seen: Tensor | None) -> Tensor:
        """x (B, N, D) -> (B, N, D); ``seen``, True = may be read, of the shape of the scores or one that fits them."""
        share = self.share if self.training else 0.0
        heard = F.scaled_dot_product_attention(self._split(self.query(x + places)), *memory, seen, share)
        return self.norm(x + self.dropout(self.out(heard.transpose(1, 2).flatten(2))))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def sine_places(padding: Tensor, channels: int) -> Tensor:
    """padding (B, h, w), True = not of the photo -> (B, h w, channels): DETR's sines of row, then of column, which run
    from 0 to 2 pi over the photo without its padding. At least in float32."""
    inside = (~padding).double()

    def axis(dim: int) -> Tensor:
        count = inside.cumsum(dim)
        count = count / (count.narrow(dim, count.shape[dim] - 1, 1) + 1e-6) * (2 * math.pi)
        return sine(count.flatten(), channels // 2).unflatten(0, count.shape)

    return torch.cat([axis(1), axis(2)], dim=3).flatten(1, 2)
