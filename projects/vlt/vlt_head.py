"""VLT's head: the joined map, queries made of photo and words, a transformer, and the mask that its answers make."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.late_fusion import side_by_side
from mgfe_ris.models.masked_attention import QueryAttention, QueryFeedForward
from mgfe_ris.models.pixel_decoder import conv_norm, sine
from mgfe_ris.structures import Text


@MODELS.register_module()
class VLTHead(nn.Module):
    """Join maps and sentence; make queries; let them ask the map; weigh their answers; draw the mask.

    Args:
        channels: (C2, C3, C4) of the maps, finest first; C2 is the transformer's width, too.
        text_channels: of words and sentence.
        side: of the map of stride 16. Queries are vectors of its pixels, so that weights are for squares of one size.
        queries: how many.
        heads: of all attentions; they divide C2.
        layers: of the transformer's encoder, and as many of its decoder.

    Raises:
        ValueError: heads that do not divide the width.
    """

    def __init__(
        self,
        channels: Sequence[int],
        text_channels: int,
        side: int = 30,
        queries: int = 16,
        heads: int = 8,
        layers: int = 2,
    ):
        super().__init__()
        width = channels[0]
        if width % heads:
            raise ValueError(f'head.heads: expected a divisor of {width}, the finest map it reads; got {heads}')
        self.side = side
        self.join = JointMap(channels, text_channels)
        self.make_queries = QueryMaker(channels[-1] // 2, text_channels, width, side, queries, heads)
        self.transformer = Transformer(width, heads, layers)
        self.balance = Balance(width)
        self.draw = nn.Linear(width, side**2, bias=False)
        self.refine = conv_norm(queries, width, 3)
        self.decode = nn.Sequential(
            *(conv_norm(width, width, 3), conv_norm(width, width, 3)),
            *(_Twice(), conv_norm(width, width, 3)),
            *(_Twice(), conv_norm(width, width, 3)),
            *(_Twice(), conv_norm(width, width, 3)),
            nn.Conv2d(width, 2, 1),
        )

    def forward(self, maps: Sequence[Tensor], text: Text) -> Tensor:
        """maps (B or 1, C_i, h_i, w_i), of strides 8, 16, 32 -> logits (B, 2, 8 side, 8 side).

        Raises:
            ValueError: photos of another size.
        """
        size = tuple(maps[1].shape[-2:])
        if size != (self.side, self.side):
            raise ValueError(
                f'the map of stride 16 has {size[0]} x {size[1]} pixels, the queries are made for '
                f'{self.side} x {self.side}: train a model with head.side for such photos, or resize them'
            )
        asked, joined = self.join(maps, text.sentence)
        queries = self.make_queries(asked, text)
        answers = self.balance(queries, self.transformer(joined.flatten(2).mT, queries))
        drawn = F.relu(self.draw(answers)).unflatten(2, size)
        return self.decode(self.refine(drawn))


class JointMap(nn.Module):
    """The sentence gates the deepest map; then maps are joined from there up, down to stride 16, and once more.

    Args:
        channels: (C2, C3, C4).
        text_channels: of the sentence.
    """

    def __init__(self, channels: Sequence[int], text_channels: int):
        super().__init__()
        c2, c3, c4 = channels
        half = c4 // 2
        self.sentence = nn.Sequential(nn.Linear(text_channels, c4), nn.BatchNorm1d(c4), nn.ReLU())
        self.see4, self.see3, self.see2 = _bottleneck(c4), conv_norm(c3, c3, 1), conv_norm(c2, c2, 1)
        self.gated = nn.Sequential(nn.BatchNorm2d(c4), nn.ReLU())
        self.join43 = conv_norm(c4 + c3, half, 1)
        self.join432 = conv_norm(half + c2, half, 1)
        self.again = _bottleneck(half)
        self.join_again = conv_norm(2 * half, half, 1)
        self.join_all = nn.Sequential(conv_norm(c4 + half, c2, 1), conv_norm(c2, c2, 1))

    def forward(self, maps: Sequence[Tensor], sentence: Tensor) -> tuple[Tensor, Tensor]:
        """maps (B or 1, C_i, h_i, w_i), sentence (B, E) -> what makes queries, (B, C4 / 2, h, w), and what they ask,
        (B, C2, h, w), both of stride 16."""
        x2, x3, x4 = maps
        gate = self.sentence(sentence)[..., None, None]
        gated = _twice(self.gated((x4 + self.see4(x4)) * gate))
        middle = self.join43(side_by_side(gated, self.see3(x3)))
        asked = self.join432(side_by_side(middle, self.see2(F.avg_pool2d(x2, 2))))
        again = self.join_again(torch.cat([self.again(asked), middle], dim=1))
        return asked, self.join_all(torch.cat([gated, again], dim=1))


class QueryMaker(nn.Module):
    """Each query is a map of where it looks, as a vector, and what it hears of the words.

    Args:
        in_channels: of the map.
        text_channels: of words.
        channels: D, of queries.
        side: of the map.
        queries: how many.
        heads: of the attention.
    """

    def __init__(self, in_channels: int, text_channels: int, channels: int, side: int, queries: int, heads: int):
        super().__init__()
        self.look = nn.Sequential(
            conv_norm(in_channels + 6, in_channels, 3),
            conv_norm(in_channels, in_channels, 3),
            conv_norm(in_channels, in_channels, 3),
            nn.Conv2d(in_channels, queries, 1, bias=False),
        )
        self.query = nn.Linear(side**2, channels, bias=False)
        self.word = nn.Linear(text_channels, channels, bias=False)
        self.attn = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: Tensor, text: Text) -> Tensor:
        """x (B, C, side, side), words (B, T, E) -> (B, N, D)."""
        query = F.relu(self.query(self.look(torch.cat([x, _places(x)], dim=1)).flatten(2)))
        # their order is in the values, too
        words = F.relu(self.word(text.words))
        words = words + _order(words)
        heard, _ = self.attn(query + _order(query), words, words, key_padding_mask=~text.mask, need_weights=False)
        return query + heard


class Transformer(nn.Module):
    """Pixels ask pixels, then queries ask queries and pixels; with norms after each sum.

    Args:
        channels: D.
        heads: of attentions.
        layers: of the encoder, and of the decoder.
    """

    def __init__(self, channels: int, heads: int, layers: int):
        super().__init__()
        self.encoder = nn.ModuleList(_Layer(channels, heads) for _ in range(layers))
        self.decoder = nn.ModuleList(_Layer(channels, heads, asks=True) for _ in range(layers))

    def forward(self, pixels: Tensor, queries: Tensor) -> Tensor:
        """pixels (B, h w, D), queries (B, N, D) -> (B, N, D)."""
        pixels, queries = pixels + _order(pixels), queries + _order(queries)
        for layer in self.encoder:
            pixels = layer(pixels)
        for layer in self.decoder:
            queries = layer(queries, pixels)
        return queries


class _Layer(nn.Module):
    def __init__(self, channels: int, heads: int, asks: bool = False):
        super().__init__()
        self.among = QueryAttention(channels, heads)
        self.ask = QueryAttention(channels, heads) if asks else None
        self.think = QueryFeedForward(channels, channels)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = self.among(x, 0, x, 0)
        if self.ask is not None and memory is not None:
            x = self.ask(x, 0, memory, 0)
        return self.think(x)


class Balance(nn.Module):
    """How much each answer counts, which the query and its answer say together.

    Args:
        channels: D.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.answer = nn.Linear(channels, channels, bias=False)
        self.gate = nn.Sequential(
            nn.Linear(2 * channels, channels, bias=False),
            nn.ReLU(),
            nn.Linear(channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, queries: Tensor, answers: Tensor) -> Tensor:
        """queries and answers (B, N, D) -> (B, N, D)."""
        answers = F.relu(self.answer(answers))
        return answers * self.gate(torch.cat([answers, F.relu(self.query(queries))], dim=2))


class _Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _twice(x)


def _bottleneck(channels: int) -> nn.Sequential:
    return nn.Sequential(conv_norm(channels, channels // 2, 1), conv_norm(channels // 2, channels, 3))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True)


def _places(x: Tensor) -> Tensor:
    """x (B, C, side, side) -> (B, 6, side, side): from -1 to 1 along the width, three times, and along the height."""
    along = torch.linspace(-1, 1, x.shape[3], device=x.device, dtype=_precise(x)).to(x.dtype).expand(*x.shape[2:])
    return torch.stack([along] * 3 + [along.mT] * 3).expand(x.shape[0], -1, -1, -1)


def _order(x: Tensor) -> Tensor:
    """x (B, N, D) -> (N, D): sines and cosines of the index."""
    return sine(torch.arange(x.shape[1], device=x.device, dtype=_precise(x)), x.shape[2]).to(x.dtype)


def _precise(x: Tensor) -> torch.dtype:
    """Half precision holds neither angles nor places."""
    return torch.promote_types(x.dtype, torch.float32)
