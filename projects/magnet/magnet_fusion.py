"""MagNet's two fusions: pixels read words at several scales, and words read pixels."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.encoders.layout import to_map, to_tokens
from mgfe_ris.models.fusion.pixel_word_attention import ChannelNorm, PixelWordAttention

SIDES = (1, 2, 3, 6)
"""Of the pyramid's maps, in pixels."""


class ImageFusion(nn.Module):
    """Words for each pixel, and for each of a few parts of the photo: the paper's alignment module.

    The pixels' own words go back into the encoder, through a gate; the decoder reads them mixed with those of the
    parts.

    Args:
        channels: C of the stage, a multiple of 4.
        text_channels: D, of a word.
        num_heads: of all attentions to words; the scale is that of one head, for any number.
        dropout: after each GELU of the attentions.
    """

    def __init__(self, channels: int, text_channels: int, num_heads: int = 1, dropout: float = 0.0):
        super().__init__()
        quarter = channels // len(SIDES)
        self.attention = PixelWordAttention(channels, text_channels, num_heads, dropout, norm='LN')
        self.pyramid = nn.ModuleList(_part_of(channels, side, quarter) for side in SIDES)
        self.pyramid_attention = nn.ModuleList(
            PixelWordAttention(quarter, text_channels, num_heads, dropout, norm='LN') for _ in SIDES
        )
        self.mixer = nn.Sequential(
            nn.Linear(2 * channels, channels), nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU()
        )
        self.gate = _gate(channels, nn.GELU())
        for linear in (self.gate[0], self.gate[2]):
            nn.init.trunc_normal_(linear.weight, std=0.02)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """v (B or 1, C, H, W), words (B, T, D), mask (B, T) -> what the decoder reads, and what is added to v, both
        (B, C, H, W)."""
        size = v.shape[2:]
        heard = self.attention(v, words, mask)
        parts = [
            F.interpolate(attention(part(v), words, mask), size, mode='bilinear', align_corners=True)
            for part, attention in zip(self.pyramid, self.pyramid_attention, strict=True)
        ]
        out = self.mixer(to_tokens(torch.cat([*parts, heard], dim=1)))
        heard = to_tokens(heard)
        return to_map(out, size), to_map(self.gate(heard) * heard, size)


def _part_of(channels: int, side: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(side),
        nn.Conv2d(channels, 4 * channels, 1, bias=False),
        ChannelNorm(4 * channels, eps=1e-6),
        nn.Conv2d(4 * channels, channels, 1, bias=False),
        nn.GELU(),
        nn.Conv2d(channels, out_channels, 1, bias=False),
    )


def _gate(channels: int, activation: nn.Module) -> nn.Sequential:
    first, last = (nn.Linear(channels, channels, bias=False) for _ in range(2))
    return nn.Sequential(first, activation, last, nn.Tanh())


ARITHMETICS = ('released', 'meant')
"""Of the words' mask in :class:`TextFusion`."""


class TextFusion(nn.Module):
    """What a word reads in the photo is added to it, through a gate.

    The released code puts BERT's additive mask, 0 for a word and -10000 for padding, where 1 and 0 are meant. What
    follows from that is what released weights were trained with:

    - All queries of words are 0, so that words attend to all pixels alike: to the mean of a map whose mean was just
      taken away. A word reads nothing but a bias.
    - Padding attends to the pixels that fit it least, and the norm over all places carries that to the words, the same
      to each. A sentence without padding reads 0.
    - Both matrices of the gate begin at 0, where the gradient of either is 0: nothing here is trained.

    ``mask='meant'`` is the same part as it seems to be meant: words attend to pixels, the norm is over words
    alone, so that padding changes nothing, and the gate begins as that of the image does.

    Args:
        channels: C of the stage's map.
        text_channels: D, of a word.
        mask: ``'released'`` or ``'meant'``.

    Raises:
        ValueError: another ``mask``.
    """

    def __init__(self, channels: int, text_channels: int, mask: str = 'released'):
        super().__init__()
        if mask not in ARITHMETICS:
            raise ValueError(f'mask must be one of {list(ARITHMETICS)}; got {mask!r}')
        self.released = mask == 'released'
        self.word, self.query, self.output, self.project = (nn.Linear(text_channels, text_channels) for _ in range(4))
        self.key, self.value = (nn.Linear(channels, text_channels) for _ in range(2))
        self.gate = _gate(text_channels, nn.ReLU())
        self.norm = nn.LayerNorm(text_channels)  # of released weights, and read by nothing
        self.norm.requires_grad_(False)
        for linear in (self.gate[0], self.gate[2]):
            nn.init.zeros_(linear.weight) if self.released else nn.init.trunc_normal_(linear.weight, std=0.02)

    def forward(self, words: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """words (B, T, D), v (B or 1, C, H, W), mask (B, T), True = a word -> words (B, T, D)."""
        pixels = to_tokens(v)
        key, value = (_norm_over_pixels(linear(pixels)) for linear in (self.key, self.value))
        keep = mask[..., None].to(words.dtype)
        heard = self.output(self._weights(self.query(words), key, keep).to(value.dtype) @ value)
        heard = _norm_over_words(heard, torch.ones_like(keep) if self.released else keep)
        residual = F.gelu(self.project(F.gelu(self.word(words)) * heard))
        return words + self.gate(residual) * residual

    def _weights(self, query: Tensor, key: Tensor, keep: Tensor) -> Tensor:
        """(B, T, D), (B or 1, N, D), (B, T, 1) -> how much each place attends to each pixel, (B, T, N)."""
        scale = query.shape[-1] ** -0.5
        if not self.released:
            return (scale * query @ key.mT).softmax(-1)
        # scores of up to 1e8, which float16 does not hold; the constant last, where it rounds them
        kind = torch.promote_types(query.dtype, torch.float32)
        device = query.device.type
        with nullcontext() if kind == query.dtype else torch.autocast(device, enabled=False):
            additive = (1 - keep.to(kind)) * -1e4
            scores = scale * ((query.to(kind) * additive) @ key.to(kind).mT)
            return (scores + (1e4 * additive - 1e4)).softmax(-1)


def _norm_over_pixels(x: Tensor) -> Tensor:
    """(B, N, D) -> each channel of mean 0 and variance 1 over the pixels."""
    return F.layer_norm(x.mT, (x.shape[1],)).mT


def _norm_over_words(x: Tensor, counts: Tensor) -> Tensor:
    """(B, T, D) -> each channel of mean 0 and variance 1 over the places where ``counts`` (B, T, 1) is 1."""
    total = counts.sum(1, keepdim=True).clamp(min=1)
    away = x - (x * counts).sum(1, keepdim=True) / total
    return away * ((away.square() * counts).sum(1, keepdim=True) / total + 1e-5).rsqrt()
