"""CRIS's decoder and projector (CVPR 2022), which ETRIS and BarLeRIa have, too: pixels read words, and the sentence
becomes the kernel that looks for its object."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cache import made_once


class PixelDecoder(nn.Module):
    """Layers in which pixels attend to pixels, then to words; with norms on both sides of each attention.

    Args:
        channels: D, of pixels and words.
        layers: how many.
        heads: of the attentions.
        hidden: channels of the feed-forward part.
        dropout: of attentions and feed-forward part.
    """

    def __init__(self, channels: int = 512, layers: int = 3, heads: int = 8, hidden: int = 2048, dropout: float = 0.1):
        super().__init__()
        self.layers = nn.ModuleList(_Layer(channels, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, words: Tensor, hidden: Tensor) -> Tensor:
        """x (B, D, h, w), words (B, T, D), hidden (B, T), True = padding -> (B, D, h, w)."""
        height, width = x.shape[-2:]
        tokens = x.flatten(2).transpose(1, 2)
        places = grid_places(height, width, x.shape[1], x.device, x.dtype)
        order = word_places(words.shape[1], x.shape[1], x.device, x.dtype)
        for layer in self.layers:
            tokens = layer(tokens, words, places, order, hidden)
        return self.norm(tokens).transpose(1, 2).unflatten(2, (height, width))


class _Layer(nn.Module):
    def __init__(self, channels: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.self_attn_norm, self.cross_attn_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.ffn = nn.Sequential(
            nn.Linear(channels, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.LayerNorm(hidden),
            nn.Linear(hidden, channels),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, words: Tensor, places: Tensor, order: Tensor, hidden: Tensor) -> Tensor:
        y = self.norm1(x)
        heard = self.self_attn(y + places, y + places, y, need_weights=False)[0]
        x = x + self.dropout(self.self_attn_norm(heard))
        y = self.norm2(x) + places
        heard = self.multihead_attn(y, words + order, words, key_padding_mask=hidden, need_weights=False)[0]
        x = x + self.dropout(self.cross_attn_norm(heard))
        return x + self.dropout(self.ffn(self.norm3(x)))


class DynamicProjector(nn.Module):
    """The map, four times as large, convolved with a 3x3 kernel and a bias that the sentence's vector makes.

    Args:
        sentence_channels: E.
        channels: D / 2, of the kernel.
    """

    def __init__(self, sentence_channels: int, channels: int = 256):
        super().__init__()
        self.vis = nn.Sequential(
            nn.Upsample(scale_factor=2, mode='bilinear'),
            conv_norm(2 * channels, 2 * channels, 3),
            nn.Upsample(scale_factor=2, mode='bilinear'),
            conv_norm(2 * channels, channels, 3),
            nn.Conv2d(channels, channels, 1),
        )
        self.txt = nn.Linear(sentence_channels, channels * 9 + 1)

    def forward(self, x: Tensor, sentence: Tensor) -> Tensor:
        """x (B, D, h, w), sentence (B, E) -> logits (B, 1, 4 h, 4 w)."""
        x = self.vis(x)
        kernel, bias = self.txt(sentence).split([x.shape[1] * 9, 1], dim=1)
        # not a convolution with a group per sample: graphs for other programs fix the number of groups
        of_taps = kernel.unflatten(1, (-1, 9)).mT @ x.flatten(2)  # (B, 9, h w): what a pixel gives to each neighbour
        height, width = x.shape[-2:]
        padded = F.pad(of_taps.unflatten(2, (height, width)), (1, 1, 1, 1))
        taps = [padded[:, i, i // 3 : i // 3 + height, i % 3 : i % 3 + width] for i in range(9)]
        return torch.stack(taps).sum(0)[:, None] + bias[..., None, None]


def conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; of the same size, where the stride is 1."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2 if stride == 1 else 0, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


def with_coordinates(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, C + 2, h, w): and where a pixel is, from -1 to 1, along the width, along the height."""
    height, width = x.shape[-2:]
    down = from_end_to_end(height, x.device, x.dtype).view(1, 1, height, 1).expand(x.shape[0], 1, height, width)
    along = from_end_to_end(width, x.device, x.dtype).view(1, 1, 1, width).expand(x.shape[0], 1, height, width)
    return torch.cat([x, along, down], dim=1)


@made_once
def from_end_to_end(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length,), from -1 to 1. Made once, as all places are: a GPU is waited for where they are copied to it."""
    return torch.linspace(-1, 1, length).to(device, dtype)


def sine(position: Tensor, channels: int) -> Tensor:
    """Positions (N,) -> (N, channels): sines and cosines of p 10000^(-2 i / channels), in turn; float32, where the
    positions are integers."""
    position = position if position.is_floating_point() else position.float()
    steps = torch.arange(0, channels, 2, device=position.device, dtype=position.dtype)
    angles = position[:, None] * torch.exp(steps * -(math.log(10000.0) / channels))
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@made_once
def word_places(length: int, channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """(length, channels)."""
    return sine(torch.arange(length), channels).to(device, dtype)


@made_once
def grid_places(
    height: int,
    width: int,
    channels: int,
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """(height * width, channels): half of the channels for the column, half for the row."""
    along, down = sine(torch.arange(width), channels // 2), sine(torch.arange(height), channels // 2)
    shape = height, width, channels // 2
    return torch.cat([along[None].expand(shape), down[:, None].expand(shape)], dim=2).flatten(0, 1).to(device, dtype)
