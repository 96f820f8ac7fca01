"""CGFormer's decoder: tokens read the words, and group the pixels; the last token finds its object."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.encoders.layout import to_tokens
from mgfe_ris.models.pixel_decoder import conv_norm
from mgfe_ris.models.upsampled_conv import UpsampledConv


class GroupingDecoder(nn.Module):
    """From the deepest map up: join it with the map before it, let the tokens read the words, and let them group the
    pixels.

    Tokens learn from pixels, pixels from tokens nothing: the map that goes on is the one before the grouping.

    Args:
        in_channels: C_i of the four stages.
        text_channels: of words.
        channels: D, of tokens and joined maps.
        tokens: K; the last one stands for what the sentence means.
        pixels: of the maps of strides 16, 8 and 4, which have a table of positions each. Photos of another number of
            pixels are refused.
        dropout: in groupings and readers.
        learned_temperature, noise: of :class:`Grouping`.

    Raises:
        ValueError: not three numbers of pixels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        text_channels: int,
        channels: int = 512,
        tokens: int = 2,
        pixels: Sequence[int] = (900, 3600, 14400),
        dropout: float = 0.1,
        learned_temperature: bool = False,
        noise: str = 'training',
    ):
        super().__init__()
        if len(pixels) != 3:
            raise ValueError(f'decoder.pixels: expected three, of strides 16, 8, 4; got {pixels}')
        c1, c2, c3, c4 = in_channels
        self.tokens = nn.Parameter(torch.empty(tokens, channels))
        self.places = nn.ParameterList(nn.Parameter(torch.randn(n, channels) * channels**-0.5) for n in pixels)
        self.fuse = nn.ModuleList(Fuse(*pair, channels) for pair in ((c4, c3), (channels, c2), (channels, c1)))
        self.read = nn.ModuleList(Reader(channels, text_channels, dropout) for _ in range(2))
        # the second one groups the pixels of both larger maps
        self.group = nn.ModuleList(Grouping(channels, dropout, learned_temperature, noise) for _ in range(2))
        nn.init.trunc_normal_(self.tokens, std=0.02)

    def forward(self, feats: Sequence[Tensor], words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """What the projector needs, and the maps that have a loss of their own.

        Args:
            feats: four maps (B, C_i, H_i, W_i), strides 4 to 32.
            words: (B, T, E).
            mask: (B, T), True = a word.

        Returns:
            the joined map (B, D, H_1, W_1); the tokens (B, K, D); three maps (B, K, H, W), strides 16, 8, 4, of which
            token has which pixel: 1 or 0, with the gradient of a softmax.

        Raises:
            ValueError: a photo of a size that the tables of positions are not for.
        """
        x, tokens, hits = feats[3], self.tokens.repeat(words.shape[0], 1, 1), []
        for step, skip in enumerate(reversed(feats[:3])):
            x = self.fuse[step](x, skip)
            if step > 0:
                tokens = self.read[step - 1](tokens, words, mask)
            tokens, has = self.group[min(step, 1)](tokens, self._placed(step, x))
            hits.append(has.unflatten(2, x.shape[2:]))
        return x, tokens, hits

    def _placed(self, step: int, x: Tensor) -> Tensor:
        """(B, D, H, W) -> pixels (B, H W, D) that know their place."""
        height, width = x.shape[-2:]
        if len(self.places[step]) != height * width:
            stride = (16, 8, 4)[step]
            raise ValueError(
                f'the map of stride {stride} has {height} x {width} pixels, its table of positions is of '
                f'{len(self.places[step])}: set decoder.pixels and the size of the pipelines to one another'
            )
        return to_tokens(x) + self.places[step]


class Fuse(nn.Module):
    """A map, brought to the size of another one, and that one: two convolutions of both.

    Args:
        in_channels, skip_channels: of the two.
        channels: of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int):
        super().__init__()
        self.conv1, self.norm1 = UpsampledConv(in_channels + skip_channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """x (B, C, h, w), skip (B, C', H, W) -> (B, channels, H, W)."""
        x = F.relu(self.norm1(self.conv1((x, skip))))
        return F.relu(self.norm2(self.conv2(x)))


class Reader(nn.Module):
    """The last token reads the words; then every token passes two linear layers, without a shortcut around them.

    Args:
        channels: D, of tokens.
        text_channels: of words.
        dropout: of the attention, and after it.
    """

    def __init__(self, channels: int, text_channels: int, dropout: float):
        super().__init__()
        self.norm_token, self.norm_word = nn.LayerNorm(channels), nn.LayerNorm(text_channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(text_channels, channels, bias=False)
        self.value = nn.Linear(text_channels, channels, bias=False)
        self.output = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(channels)
        self.mlp = _mlp(channels)

    def forward(self, tokens: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """tokens (B, K, D), words (B, T, E), mask (B, T), True = a word -> (B, K, D)."""
        rest, last = tokens[:, :-1], tokens[:, -1:]
        keep = mask.to(words.dtype)[..., None]
        words = self.norm_word(words)
        query = self.query(self.norm_token(last))
        key, value = self.key(words) * keep, self.value(words) * keep
        # -1e4, not -inf: fp16 holds it, and a row of only padding stays finite
        bias = (1 - mask.to(query.dtype))[:, None, None] * -1e4
        dropped = self.dropout.p if self.training else 0.0
        heard = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None], bias, dropped)[:, 0]
        last = last + self.dropout(self.output(heard))
        return self.mlp(self.norm(torch.cat([rest, last], dim=1)))


class Grouping(nn.Module):
    """Each pixel goes to the token that it is most like; each token becomes what its pixels are on average.

    Args:
        channels: D.
        dropout: after the linear layers.
        learned_temperature: exp(tau) is the temperature of the softmax over the tokens, tau a parameter that begins
            with 0. If not, it is exp(min(tau, 0)), tau begins with 1, has no gradient there, and so stays.
        noise: when Gumbel noise is added to the likenesses: in ``'training'`` alone, or ``'always'``, as the official
            code has it, where two tests of one model differ.

    Raises:
        ValueError: another ``noise``.
    """

    def __init__(self, channels: int, dropout: float = 0.1, learned_temperature: bool = False, noise: str = 'training'):
        super().__init__()
        if noise not in ('training', 'always'):
            raise ValueError(f"noise must be 'training' or 'always'; got {noise!r}")
        self.noise = noise
        self.learned_temperature = learned_temperature
        self.norm_token, self.norm_pixel = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.tau = nn.Parameter(torch.tensor([0.0 if learned_temperature else 1.0]))
        self.output, self.dropout = nn.Linear(channels, channels), nn.Dropout(dropout)
        self.norm = nn.LayerNorm(channels)
        self.mlp = _mlp(channels, dropout)

    def forward(self, tokens: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, K, D), pixels (B, N, D) -> tokens, and which of them has which pixel, (B, K, N)."""
        pixels = self.norm_pixel(pixels)
        query, key = _unit(self.query(self.norm_token(tokens))), _unit(self.key(pixels))
        scores = query @ key.transpose(1, 2)
        if self.training or self.noise == 'always':
            scores = scores + gumbel_noise(scores)
        tau = self.tau if self.learned_temperature else self.tau.clamp(max=0)
        soft = (scores / tau.exp()).softmax(dim=1)
        hard = torch.zeros_like(soft).scatter(1, soft.argmax(dim=1, keepdim=True), 1.0)
        has = hard - soft.detach() + soft  # the value of the one, the gradient of the other
        mean = has / (has.sum(dim=2, keepdim=True) + 1)
        tokens = self.dropout(self.output(mean @ self.value(pixels))) + tokens
        return self.mlp(self.norm(tokens)), has


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise, -ln(-ln u) of an evenly drawn u, of this shape."""
    return -torch.empty_like(like).exponential_().log()


def _unit(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-12)


def _mlp(channels: int, dropout: float = 0.0) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, 2 * channels),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(2 * channels, channels),
        nn.Dropout(dropout),
    )


class TokenProjector(nn.Module):
    """The map, four times as large, and in it, by a 1x1 kernel and a bias that the token makes, its object.

    Args:
        channels: D, of map and token.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.vis = nn.Sequential(
            nn.Upsample(scale_factor=2, mode='bilinear'),
            conv_norm(channels, channels, 3),
            nn.Upsample(scale_factor=2, mode='bilinear'),
            conv_norm(channels, channels, 3),
        )
        self.out = nn.Conv2d(channels, channels, 1)
        self.txt = nn.Linear(channels, channels + 1)

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """x (B, D, h, w), token (B, D) -> logits (B, 1, 4 h + 2, 4 w + 2).

        Around the photo is a border of the bare bias: the official 1x1 convolution has a padding of 1.
        """
        x = self.vis(x)
        kernel, bias = self.txt(token).split([x.shape[1], 1], dim=1)
        # two products in a row, of the token with ``out`` first: once a token, in the place of once a pixel
        found = torch.einsum('bchw,bc->bhw', x, kernel @ self.out.weight[:, :, 0, 0])
        found = found + (kernel @ self.out.bias)[:, None, None]
        return (F.pad(found, (1, 1, 1, 1)) + bias[..., None])[:, None]
