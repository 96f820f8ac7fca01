"""BarLeRIa's side network: a small ViT beside CLIP that looks at the photo twice, the second time from the top down."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgfe_ris.models.encoders.layout import to_map, to_tokens

PROMPT_NORMS = ('batch', 'sample', 'batch_in_training')


class SideNetwork(nn.Module):
    """Photo, words and CLIP's maps -> maps of its own.

    First pass: plain. What it finds is kept as far as it looks like the prompt, the mean of the projected words; then
    it goes down the blocks through linear maps, and gives each block a signal. Second pass: each block adds its signal
    to the values of its attention, and CLIP's maps are added in between.

    Args:
        in_channels: D, of CLIP's maps.
        word_channels: of words.
        grid: g, patches along a side of the photo.
        patch_size: pixels of a patch's side, here and in CLIP.
        width: s.
        depth: blocks.
        heads: of their attentions.
        queries: learnt tokens that take part and are not read.
        fusions: pairs (block of CLIP, block here after which its map is added, in both passes 0: before the first).
            Blocks of CLIP count from 0, those here from 1.
        outputs: blocks, from 1, after which the patches are given out.
        prompt_norm: over what the prompt is normalised. ``batch``: each channel over the samples of the batch, as the
            official code has it; then a mask depends on the other photos of its batch. ``sample``: as in a batch of
            this sample alone, which leaves each channel's sign; so the official code is, too, when it tests.
            ``batch_in_training``: ``batch`` in training, ``sample`` else.

    Raises:
        ValueError: a ``prompt_norm`` that is none of these, heads that do not make the width, or blocks that are not
            there.
    """

    def __init__(
        self,
        in_channels: int,
        word_channels: int,
        grid: int,
        patch_size: int = 16,
        width: int = 144,
        depth: int = 8,
        heads: int = 3,
        queries: int = 128,
        fusions: Sequence[tuple[int, int]] = ((0, 0), (3, 1), (6, 2), (9, 3)),
        outputs: Sequence[int] = (8,),
        prompt_norm: str = 'batch_in_training',
    ):
        super().__init__()
        if prompt_norm not in PROMPT_NORMS:
            raise ValueError(f'prompt_norm must be one of {", ".join(PROMPT_NORMS)}; got {prompt_norm!r}')
        targets = [here for _, here in fusions]
        if not set(targets) <= set(range(depth + 1)) or len(set(targets)) < len(targets):
            raise ValueError(f'fusions must end at different blocks 0 to {depth}; got {fusions}')
        if not outputs or not set(outputs) <= set(range(1, depth + 1)):
            raise ValueError(f'outputs must be of the blocks 1 to {depth}; got {outputs}')
        self.grid, self.sources, self.outputs = grid, {here: clip for clip, here in fusions}, tuple(outputs)
        self.prompt_norm, self.out_channels = prompt_norm, width * len(self.outputs)
        self.patch_embed = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.pos_embed = nn.Parameter(torch.empty(1, grid**2, width))
        self.query_embed = nn.Parameter(torch.empty(1, queries, width))
        self.query_pos_embed = nn.Parameter(torch.empty(1, queries, width))
        for table in (self.pos_embed, self.query_embed, self.query_pos_embed):
            nn.init.normal_(table, std=0.02)
        self.words = prompt_layers(word_channels, width)
        self.blocks = nn.ModuleList(SideBlock(width, heads) for _ in range(depth))
        self.decoders = nn.ModuleList(TopDown(width) for _ in range(depth))
        self.fusions = nn.ModuleDict({str(here): Fusion(in_channels, width) for here in targets})

    def forward(self, image: Tensor, words: Tensor, feats: dict[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Both passes.

        Args:
            image: (B or 1, 3, H, W), H and W of ``grid`` patches.
            words: (B, T, word_channels), padding included.
            feats: patches (B, g g, D) after blocks of CLIP, by their numbers from 0.

        Returns:
            the outputs side by side, (B, s times their number, g, g), and the loss of the top-down maps, a scalar.
        """
        patches = to_tokens(self.patch_embed(image)) + self.pos_embed
        prompts = self.words(words)
        parts = (self.query_embed + self.query_pos_embed, prompts, patches)
        start = torch.cat([part.expand(words.shape[0], -1, -1) for part in parts], dim=1)
        start = self._fuse(0, start, feats)
        signals = self._look_down(start, prompts.mean(1))
        x, outputs, losses = start, [], []
        for i, (block, decoder, signal) in enumerate(zip(self.blocks, self.decoders, signals, strict=True), 1):
            before, x = x, block(x, signal)
            losses.append(F.mse_loss(decoder.linear(x.detach()), before.detach()))
            x = self._fuse(i, x, feats)
            if i in self.outputs:
                outputs.append(x[:, -(self.grid**2) :])
        return to_map(torch.cat(outputs, dim=2), (self.grid, self.grid)), torch.stack(losses).sum()

    def _look_down(self, x: Tensor, prompt: Tensor) -> list[Tensor]:
        """First pass: what goes into the blocks (B, N, s), prompt (B, s) -> a signal (B, N, s) for each block."""
        for block in self.blocks:
            x = block(x)
        likeness = F.normalize(x, dim=2) @ self._normalised(prompt)[:, :, None]
        x = x * likeness.clamp(0, 1)
        x = 5 * (x @ prompt[:, :, None]) * prompt[:, None]
        signals = []
        for decoder in reversed(self.decoders):
            x = decoder.linear(x)
            signals.append(decoder.linear2(x))
        return signals[::-1]

    def _normalised(self, prompt: Tensor) -> Tensor:
        if self.prompt_norm == 'batch' or (self.prompt_norm == 'batch_in_training' and self.training):
            return F.normalize(prompt, dim=0)
        return prompt.sign()  # what the other line gives in a batch of one

    def _fuse(self, i: int, x: Tensor, feats: dict[int, Tensor]) -> Tensor:
        """Add CLIP's map of block i to the patches, which come last."""
        if i not in self.sources:
            return x
        rest, patches = x.split([x.shape[1] - self.grid**2, self.grid**2], dim=1)
        return torch.cat([rest, self.fusions[str(i)](patches, feats[self.sources[i]])], dim=1)


def prompt_layers(in_channels: int, out_channels: int, hidden: int = 32) -> nn.Sequential:
    """W_2 ReLU(W_1 x + b_1) + b_2: words -> prompts of another width."""
    layers = nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, out_channels))
    for linear in (layers[0], layers[2]):
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.zeros_(linear.bias)
    return layers


class SideBlock(nn.Module):
    """A plain pre-norm block, the values of whose attention may get a signal.

    Args:
        width: s.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f'a side network of width {width} cannot have {heads} heads')
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        for linear in (self.qkv, self.proj, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, signal: Tensor | None = None) -> Tensor:
        """x (B, N, s), signal (B, N, s): goes through the layer of the values, too -> (B, N, s)."""
        query, key, value = self.qkv(self.norm1(x)).chunk(3, dim=2)
        if signal is not None:
            width = x.shape[2]
            value = value + F.linear(signal, self.qkv.weight[-width:], self.qkv.bias[-width:])
        query, key, value = (y.unflatten(2, (self.heads, -1)).transpose(1, 2) for y in (query, key, value))
        heard = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = x + self.proj(heard)
        return x + self.mlp(self.norm2(x))


class TopDown(nn.Module):
    """``linear``: from a block's output to its input; ``linear2``: from there to the block's signal."""

    def __init__(self, width: int):
        super().__init__()
        self.linear, self.linear2 = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)


class Fusion(nn.Module):
    """Patches += those of CLIP, normed and brought to their width; both have one grid."""

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        self.norm, self.proj = nn.LayerNorm(in_channels, eps=1e-6), nn.Linear(in_channels, width)
        nn.init.kaiming_uniform_(self.proj.weight, a=1)
        nn.init.zeros_(self.proj.bias)

    def forward(self, patches: Tensor, feat: Tensor) -> Tensor:
        """patches (B, n, s), feat (B, n, D) -> (B, n, s)."""
        return patches + self.proj(self.norm(feat))
