"""LAVT written plainly, operation by operation: what our parts are measured against, and must agree with.

Every part has the parameters of ours, by name and shape, so that the same weights load.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.backbones import SwinTransformer
from mmseg.registry import MODELS
from torch import Tensor, nn

from mgfe_ris.models.decode_head import LightDecodeHead


@MODELS.register_module()
class NaiveSwinEncoder(SwinTransformer):
    """mmseg's Swin as it is (softmax chain, shift mask anew at every forward) with the slot of ours after each stage.

    Args:
        kwargs: mmseg's ``SwinTransformer``.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        for stage in self.stages:
            for block in stage.blocks:  # ours does not save this table either
                msa = block.attn.w_msa
                msa.register_buffer('relative_position_index', msa.relative_position_index, persistent=False)

    def forward(self, x: Tensor, fuse=None) -> list[Tensor]:
        """x (B, 3, H, W) normalised photos -> four normalised maps (B, C_i, H_i, W_i); ``fuse`` as in ours."""
        x, size = self.patch_embed(x)
        x = self.drop_after_pos(x)
        outs = []
        for i, stage in enumerate(self.stages):
            for block in stage.blocks:
                x = block(x, size)
            out = x
            if fuse is not None:
                out, feedback = (to_tokens(part) for part in fuse(i, to_map(x, size)))
                x = x + feedback
            outs.append(to_map(getattr(self, f'norm{i}')(out), size).contiguous())
            if stage.downsample is not None:
                x, size = stage.downsample(x, size)
        return outs


@MODELS.register_module()
class NaivePixelWordAttention(BaseModule):
    """Eq. 1 on (B, C, HW): matmul, scale, mask, softmax, matmul, and instance norms.

    Args:
        channels: width C of the visual stage.
        text_channels: width D of the words.
        num_heads: of the attention; the scale is 1/sqrt(C) for any number.
        dropout: after each GELU.
    """

    def __init__(self, channels: int, text_channels: int, num_heads: int = 1, dropout: float = 0.0):
        super().__init__()
        self.num_heads = num_heads
        self.query = PointConv(channels, channels, 1)
        self.key = nn.Linear(text_channels, channels)
        self.value = nn.Linear(text_channels, channels)
        self.output = PointConv(channels, channels, 1)
        self.visual = PointConv(channels, channels, 1)
        self.project = PointConv(channels, channels, 1)
        self.query_norm = nn.InstanceNorm1d(channels)
        self.output_norm = nn.InstanceNorm1d(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, v: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """v (B, C, H, W), words (B, T, D), mask (B, T), True = a word -> G (B, C, H, W); H W > 1 in training."""
        size, pixels = v.shape[2:], v.flatten(2)
        visual = self.dropout(F.gelu(self.visual(pixels)))
        language = self.output_norm(self.output(self.attend(pixels, words, mask)))
        return self.dropout(F.gelu(self.project(visual * language))).unflatten(2, size)

    def attend(self, pixels: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """(B, C, HW) -> what each pixel hears, (B, C, HW)."""
        keep = mask.to(words.dtype)
        q = self.heads(self.query_norm(self.query(pixels)).permute(0, 2, 1))
        k = self.heads(self.key(words) * keep[:, :, None])
        value = self.heads(self.value(words) * keep[:, :, None])
        scores = q @ k.transpose(-1, -2)
        scores = scores / math.sqrt(pixels.shape[1])
        scores = scores + (1e4 * keep - 1e4)[:, None, None, :]
        context = F.softmax(scores, dim=-1) @ value
        return context.permute(0, 2, 1, 3).flatten(2).permute(0, 2, 1)

    def heads(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, heads, N, C / heads)."""
        return x.unflatten(2, (self.num_heads, -1)).permute(0, 2, 1, 3)


@MODELS.register_module()
class NaiveLanguageGate(BaseModule):
    """F = tanh(W2 relu(W1 G)) * G, as linear layers on tokens.

    Args:
        channels: width C of the stage.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gate = nn.Sequential(
            PointLinear(channels, channels, 1, bias=False),
            nn.ReLU(),
            PointLinear(channels, channels, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, g: Tensor, refined: None = None) -> Tensor:
        """G (B, C, H, W) -> F (B, C, H, W)."""
        tokens = to_tokens(g)
        return to_map(self.gate(tokens) * tokens, g.shape[2:])


@MODELS.register_module()
class NaiveDecodeHead(LightDecodeHead):
    """Ours, written plainly: up-sample, concatenate, convolve."""

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """feats (B, C_i, H_i, W_i), finest first -> logits (B, classes, H_0, W_0)."""
        x = feats[-1]
        for (first, second), skip in zip(self.blocks, reversed(feats[:-1]), strict=True):
            x = F.interpolate(x, skip.shape[-2:], mode='bilinear', align_corners=True)
            x = F.conv2d(torch.cat([x, skip], dim=1), first.conv.weight, padding=1)
            x = second(first.activate(first.norm(x)))
        return self.classify(x)


class PointConv(nn.Conv2d):
    """A convolution over a sequence that has the weights of one of 1 x 1 over a map."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, N) -> (B, C', N)."""
        return F.conv1d(x, self.weight.squeeze(-1), self.bias)


class PointLinear(nn.Conv2d):
    """A linear layer that has the weights of a convolution of 1 x 1."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> (B, N, C')."""
        return F.linear(x, self.weight.flatten(1), self.bias)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H * W, C) -> (B, C, H, W), a view."""
    return tokens.permute(0, 2, 1).unflatten(2, size)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C), a view where x allows it."""
    return x.flatten(2).permute(0, 2, 1)
