"""The block of CLIP's two towers of attention (Radford et al., ICML 2021)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def _same(x: Tensor) -> Tensor:
    return x


class CLIPBlock(nn.Module):
    """x += attention(norm(x));  x += W_2 QuickGELU(W_1 norm(x)), QuickGELU(z) = z sigmoid(1.702 z)."""

    def __init__(self, width: int, head_channels: int = 64):
        super().__init__()
        if width % head_channels:
            raise ValueError(f'a width of {width} is no multiple of head_channels={head_channels}')
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // head_channels, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), QuickGELU(), nn.Linear(4 * width, width))

    def forward(
        self,
        x: Tensor,
        hidden: Tensor | None = None,
        kept: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = (_same, _same),
    ) -> Tensor:
        """x (B, T, D), hidden (T, T), True = not to be seen by the row -> (B, T, D).

        ``kept``: what attention and MLP are added to, of x: in CLIP x itself.
        """
        y = self.ln_1(x)
        x = kept[0](x) + self.attn(y, y, y, attn_mask=hidden, need_weights=False)[0]
        return kept[1](x) + self.mlp(self.ln_2(x))


class QuickGELU(nn.Module):
    """z sigmoid(1.702 z), which CLIP's weights were trained with."""

    def forward(self, z: Tensor) -> Tensor:
        return z * torch.sigmoid(1.702 * z)


def init_blocks(blocks: Sequence[CLIPBlock] | nn.ModuleList, width: int) -> None:
    """CLIP's random weights: what is added to the residual shrinks with the number of blocks."""
    inner = width**-0.5 * (2 * len(blocks)) ** -0.5
    spreads = {'attn.in_proj_weight': width**-0.5, 'attn.out_proj.weight': inner}
    spreads |= {'mlp.0.weight': (2 * width) ** -0.5, 'mlp.2.weight': inner}
    for block in blocks:
        for name, std in spreads.items():
            nn.init.normal_(block.get_parameter(name), std=std)
