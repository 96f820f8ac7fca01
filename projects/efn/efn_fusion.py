"""What happens to a map between two stages: pixels read words, and both look at one another."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.cache import made_once

PLACES = 8
"""Numbers that say where a pixel is."""


def conv_norm_prelu(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution without bias, batch norm, ReLU with one learned slope for what is negative."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.PReLU())


def linear_norm_relu(in_channels: int, out_channels: int) -> nn.Sequential:
    """Linear layer, batch norm, ReLU, of (N, C)."""
    return nn.Sequential(nn.Linear(in_channels, out_channels), nn.BatchNorm1d(out_channels), nn.ReLU())


def unit(x: Tensor) -> Tensor:
    """x (B, C, ...) with channels of length 1."""
    return F.normalize(x, dim=1)


class StageFusion(nn.Module):
    """A map of the encoder, and what the map and the words become together.

    Args:
        channels: C, of the map.
        text_channels: D, of words and sentence, and of what is between.
        transposed_attention: of :class:`CoAttention`.
        swapped_sides: of :func:`places`.
    """

    def __init__(self, channels: int, text_channels: int, transposed_attention: bool, swapped_sides: bool):
        super().__init__()
        self.swapped_sides = swapped_sides
        self.see = conv_norm_prelu(channels, text_channels)
        self.join = conv_norm_prelu(2 * text_channels + PLACES, text_channels)
        self.words = linear_norm_relu(text_channels, text_channels)
        self.ask = nn.Conv2d(text_channels, text_channels, 1)
        self.attention = CoAttention(text_channels, transposed_attention)
        self.merge = conv_norm_prelu(2 * text_channels, channels)

    def forward(self, x: Tensor, words: Tensor, mask: Tensor, sentence: Tensor) -> Tensor:
        """x (B or 1, C, h, w), words (B, T, D), mask (B, T), True = a word, sentence (B, D) -> (B, C, h, w)."""
        size = (sentence.shape[0], -1, *x.shape[-2:])
        where = places(*x.shape[-2:], x.device, x.dtype, self.swapped_sides)
        parts = (unit(self.see(x)), sentence[..., None, None], where)
        pixels = unit(self.join(torch.cat([part.expand(size) for part in parts], dim=1)))
        words = unit(self.words(words.flatten(0, 1))).unflatten(0, mask.shape)
        of_language, of_photo = self.attention(pixels, read_words(self.ask(pixels), words, mask))
        return unit(x) + unit(self.merge(unit(torch.cat([of_photo, of_language], dim=1))))


def read_words(questions: Tensor, words: Tensor, mask: Tensor) -> Tensor:
    """questions (B, D, h, w), words (B, T, D), mask (B, T), True = a word -> (B, D, h, w): of each pixel the mean of
    the words, weighed by a softmax of their products with the question."""
    scores = (words @ questions.flatten(2)).masked_fill(~mask[..., None], float('-inf'))
    return (words.transpose(1, 2) @ scores.softmax(dim=1)).unflatten(2, questions.shape[-2:])


class CoAttention(nn.Module):
    """Pixels of the photo E and of what was read Q, each looked at from the other side.

    With A_ij = (W_e E_i) (W_q Q_j) and softmaxes a over the i and b over the j of A, the intended form, that of
    COSNet (Lu et al., CVPR 2019), is

        E*_j = sum_i E_i a_ij,    Q*_i = sum_j Q_j b_ij.

    The official code transposes once more, and the weights of a sum do not add up to 1:

        E*_j = sum_i E_i a_ji,    Q*_j = sum_i Q_i b_ij.

    Not :class:`mgfe_ris.models.fusion.CoAttention`, which is what another code base made of it.

    Args:
        channels: D, of both.
        transposed: the official form; False: the intended one.
    """

    def __init__(self, channels: int, transposed: bool = True):
        super().__init__()
        self.transposed = transposed
        self.of_photo = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.of_language = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.photo = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.language = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        for conv in (self.of_photo, self.of_language, self.photo, self.language):
            nn.init.normal_(conv.weight, std=0.01)

    def forward(self, photo: Tensor, language: Tensor) -> tuple[Tensor, Tensor]:
        """photo and language (B, D, h, w) -> in the place of the photo what is made of language, and the other way
        round, (B, D, h, w) each."""
        likeness = self.of_photo(photo).flatten(2).transpose(1, 2) @ self.of_language(language).flatten(2)
        over_photo, over_language = likeness.softmax(dim=1), likeness.softmax(dim=2)
        if self.transposed:
            over_photo = over_photo.transpose(1, 2)
        else:
            over_language = over_language.transpose(1, 2)
        seen = (photo.flatten(2) @ over_photo).view_as(photo)
        read = (language.flatten(2) @ over_language).view_as(language)
        return self.language(read), self.photo(seen)


@made_once
def places(height: int, width: int, device: torch.device, dtype: torch.dtype, swapped: bool = True) -> Tensor:
    """(1, 8, h, w): where a pixel begins, ends, and has its middle, x and y, from -1 to 1; its width and height.

    Args:
        swapped: rows stand for x, and columns for y, divided by the width and the height all the same, as the official
            code has it: on maps that are no squares, the numbers do not go from -1 to 1.
    """
    lines = (torch.arange(n, device=device, dtype=torch.float64) for n in (height, width))
    rows, columns = torch.meshgrid(*lines, indexing='ij')
    x, y = (rows, columns) if swapped else (columns, rows)
    begin = [2 * x / width - 1, 2 * y / height - 1]
    end = [2 * (x + 1) / width - 1, 2 * (y + 1) / height - 1]
    middle = [(a + b) / 2 for a, b in zip(begin, end, strict=True)]
    sides = (height, width) if swapped else (width, height)
    pixel = [torch.full_like(begin[0], 1 / side) for side in sides]
    return torch.stack([*begin, *end, *middle, *pixel])[None].to(dtype)
