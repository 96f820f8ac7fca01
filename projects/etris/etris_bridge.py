"""What ETRIS adds to CLIP: bridges, over which its two towers tell each other what they have."""

from torch import Tensor, nn

Meeting = tuple[Tensor, Tensor]
"""What a bridge let its two sides read, for the next bridge: (B, n, d) of the map, (B, T, d) of the words."""


class Bridge(nn.Module):
    """Between a map V of the image tower and the words T of the text tower; both are narrowed, read each other, and
    what they heard is widened and added.

    v = narrow(V), t = narrow(T);  where there is a bridge before, v = LN(v + v'), t = LN(t + t');
    V + widen(read(v, t)),  T + widen(read(t, v)).  Padding among the words is read, too.

    Args:
        image_channels, text_channels: of V and T.
        channels: d, of v and t.
        heads: of the attentions.
        stride: v is so many times smaller than V, or larger, if ``enlarge``.
        enlarge: see ``stride``.
        plain: for a plain transformer, as ETRIS has it: what narrows and widens the map ends with a norm and ReLU, and
            sides read by a :class:`ProductAttention`; else by a decoder layer of the Transformer.
        follows: there is a bridge before.
        hidden, dropout: of the decoder layer.
    """

    def __init__(
        self,
        image_channels: int,
        text_channels: int,
        channels: int = 64,
        heads: int = 4,
        stride: int = 1,
        enlarge: bool = False,
        plain: bool = False,
        follows: bool = False,
        hidden: int = 128,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.zoom_in = _zoom(image_channels, channels, stride, enlarge, plain)
        self.zoom_out = _zoom(channels, image_channels, stride, not enlarge, plain)
        self.linear1, self.linear2 = nn.Linear(text_channels, channels), nn.Linear(channels, text_channels)
        if follows:
            self.ln_v, self.ln_t = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.fusion_v, self.fusion_t = (
            ProductAttention(channels, heads)
            if plain
            else nn.TransformerDecoderLayer(channels, heads, hidden, dropout, batch_first=True)
            for _ in range(2)
        )
        self.apply(_init)

    def forward(self, image: Tensor, words: Tensor, before: Meeting | None) -> tuple[Tensor, Tensor, Meeting]:
        """image (B or 1, C, H, W), words (B, T, D) -> what is to be added to each, and what the next bridge gets."""
        v = self.zoom_in(image)
        height, width = v.shape[-2:]
        v = v.flatten(2).transpose(1, 2).expand(words.shape[0], -1, -1)
        t = self.linear1(words)
        if before is not None:
            v, t = self.ln_v(v + before[0]), self.ln_t(t + before[1])
        seen, said = self.fusion_v(v, t), self.fusion_t(t, v)
        seen = seen.transpose(1, 2).unflatten(2, (height, width))
        return self.zoom_out(seen), self.linear2(said), (v, t)


class ProductAttention(nn.Module):
    """x * attention(x, memory): what is heard weighs, and is not added."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.multihead_attn = nn.MultiheadAttention(channels, heads, batch_first=True)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """x (B, n, d), memory (B, m, d) -> (B, n, d)."""
        return x * self.multihead_attn(x, memory, memory, need_weights=False)[0]


def _zoom(in_channels: int, out_channels: int, stride: int, enlarge: bool, normed: bool) -> nn.Module:
    kind = nn.ConvTranspose2d if enlarge else nn.Conv2d
    conv = kind(in_channels, out_channels, stride, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)) if normed else conv


def _init(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')
