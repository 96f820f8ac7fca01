"""The official LAVT as its paper, Swin's paper and method.md describe it, over a state dict with the official names.

What our parts are compared with: plain functions in the dtype of the weights. Window attention is looked at pixel by
pixel (who shares a window with whom), not rolled, padded and cut.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = dict[str, Tensor]


def random_state(config: dict[str, Any], std: float = 0.3) -> State:
    """Random weights of the architecture that ``config`` describes, in float64, none of them at 0 or 1."""
    width, text, window = config['embed_dim'], config['text_dim'], config['window_size']
    shapes = {'patch_embed.proj': (width, 3, 4, 4), 'patch_embed.norm': (width,)}
    for i, (depth, heads) in enumerate(zip(config['depths'], config['num_heads'], strict=True)):
        c, layer = width * 2**i, f'layers.{i}.'
        for block in (f'{layer}blocks.{j}.' for j in range(depth)):
            shapes |= {f'{block}norm1': (c,), f'{block}norm2': (c,), f'{block}attn.qkv': (3 * c, c)}
            shapes |= {f'{block}attn.proj': (c, c), f'{block}mlp.fc1': (4 * c, c), f'{block}mlp.fc2': (c, 4 * c)}
            shapes[f'{block}attn.relative_position_bias_table'] = ((2 * window - 1) ** 2, heads)
        fusion = f'{layer}fusion.image_lang_att.'
        shapes |= {f'{fusion}f_query.0': (c, c, 1), f'{fusion}W.0': (c, c, 1)}
        shapes |= {f'{fusion}f_key.0': (c, text, 1), f'{fusion}f_value.0': (c, text, 1)}
        shapes |= {f'{layer}fusion.vis_project.0': (c, c, 1), f'{layer}fusion.project_mm.0': (c, c, 1)}
        shapes |= {f'{layer}res_gate.0 no bias': (c, c), f'{layer}res_gate.2 no bias': (c, c), f'norm{i}': (c,)}
        if i < 3:
            shapes |= {f'{layer}downsample.norm': (4 * c,), f'{layer}downsample.reduction no bias': (2 * c, 4 * c)}
    state = {}
    for name, shape in shapes.items():
        state |= _random(f'backbone.{name}', shape, std)
    hidden, coarse = 4 * width, 8 * width
    for level, skip in ((4, 4 * width), (3, 2 * width), (2, width)):
        state |= _random(f'classifier.conv1_{level} no bias', (hidden, coarse + skip, 3, 3), std / 10)
        state |= _random(f'classifier.conv2_{level} no bias', (hidden, hidden, 3, 3), std / 10)
        for n in (1, 2):
            bn = f'classifier.bn{n}_{level}'
            state |= _random(bn, (hidden,), std)
            state[f'{bn}.running_mean'] = torch.randn(hidden).double() * std
            state[f'{bn}.running_var'] = torch.rand(hidden).double() + 0.5
            state[f'{bn}.num_batches_tracked'] = torch.tensor(3)
        coarse = hidden
    return state | _random('classifier.conv1_1', (2, hidden, 1, 1), std)


def _random(name: str, shape: tuple[int, ...], std: float) -> State:
    if name.endswith('table'):
        return {name: torch.randn(shape).double() * std}
    if name.endswith(' no bias'):
        return {f'{name.removesuffix(" no bias")}.weight': torch.randn(shape).double() * std}
    return {f'{name}.weight': torch.randn(shape).double() * std, f'{name}.bias': torch.randn(shape[0]).double() * std}


def logits(state: State, config: dict, image: Tensor, words: Tensor, mask: Tensor, train: bool = False) -> Tensor:
    """(B, 2, H, W), at the image's size."""
    x = decode(state, features(state, config, image, words, mask), train)
    return F.interpolate(x, image.shape[-2:], mode='bilinear', align_corners=True)


def features(state: State, config: dict, image: Tensor, words: Tensor, mask: Tensor) -> list[Tensor]:
    """The four maps (B, C_i, H_i, W_i) that the decoder reads."""
    image = F.pad(image, (0, -image.shape[-1] % 4, 0, -image.shape[-2] % 4))
    weight, bias = _pair(state, 'backbone.patch_embed.proj')
    x = _norm(state, 'backbone.patch_embed.norm', F.conv2d(image, weight, bias, stride=4).permute(0, 2, 3, 1))
    outs = []
    for i, depth in enumerate(config['depths']):
        layer = f'backbone.layers.{i}.'
        for j in range(depth):
            shift = config['window_size'] // 2 if j % 2 else 0
            x = _block(state, f'{layer}blocks.{j}.', x, config['num_heads'][i], config['window_size'], shift)
        heads = config['fusion_heads']
        g = _fusion(state, f'{layer}fusion.', x, words, mask, heads if isinstance(heads, int) else heads[i])
        outs.append(_norm(state, f'backbone.norm{i}', g).permute(0, 3, 1, 2))
        gate = F.relu(g @ state[f'{layer}res_gate.0.weight'].T) @ state[f'{layer}res_gate.2.weight'].T
        x = x + gate.tanh() * g
        if i < 3:
            x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
            four = torch.cat([x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)], dim=-1)
            x = _norm(state, f'{layer}downsample.norm', four) @ state[f'{layer}downsample.reduction.weight'].T
    return outs


def decode(state: State, feats: list[Tensor], train: bool = False) -> Tensor:
    """Logits at stride 4."""
    x = feats[3]
    for level, skip in ((4, feats[2]), (3, feats[1]), (2, feats[0])):
        x = torch.cat([F.interpolate(x, skip.shape[-2:], mode='bilinear', align_corners=True), skip], dim=1)
        for n in (1, 2):
            x = F.conv2d(x, state[f'classifier.conv{n}_{level}.weight'], padding=1)
            bn = f'classifier.bn{n}_{level}'
            mean, var = (x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)) if train else _running(state, bn)
            weight, bias = _pair(state, bn)
            x = (x - _channel(mean)) / _channel(var + 1e-5).sqrt() * _channel(weight) + _channel(bias)
            x = F.relu(x)
    return F.conv2d(x, *_pair(state, 'classifier.conv1_1'))


def _block(state: State, name: str, x: Tensor, heads: int, window: int, shift: int) -> Tensor:
    """A Swin block on (B, H, W, C)."""
    x = x + _attention(state, f'{name}attn.', _norm(state, f'{name}norm1', x), heads, window, shift)
    hidden = F.gelu(_linear(state, f'{name}mlp.fc1', _norm(state, f'{name}norm2', x)))
    return x + _linear(state, f'{name}mlp.fc2', hidden)


def _attention(state: State, name: str, x: Tensor, heads: int, window: int, shift: int) -> Tensor:
    height, width, channels = x.shape[1:]
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    qkv = _linear(state, f'{name}qkv', x).unflatten(-1, (3, heads, channels // heads))
    rows, columns = torch.arange(x.shape[1]), torch.arange(x.shape[2])
    out = torch.zeros_like(x)
    table = state[f'{name}relative_position_bias_table']
    # windows begin at ``shift``; what lies before the first one is a window of its own, smaller
    for top in ((rows - shift) // window).unique():
        for left in ((columns - shift) // window).unique():
            r = rows[(rows - shift) // window == top]
            c = columns[(columns - shift) // window == left]
            y, z = torch.cartesian_prod(r, c).T
            q, k, v = qkv[:, y, z].permute(2, 0, 3, 1, 4)  # (B, heads, N, d) each
            dy, dz = y[:, None] - y + window - 1, z[:, None] - z + window - 1
            bias = table[dy * (2 * window - 1) + dz].permute(2, 0, 1)
            scores = q @ k.transpose(-1, -2) * (channels // heads) ** -0.5 + bias
            out[:, y, z] = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    return _linear(state, f'{name}proj', out)[:, :height, :width]


def _fusion(state: State, name: str, x: Tensor, words: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Pixel-word attention on (B, H, W, C); padded words are not there at all."""
    att, channels = f'{name}image_lang_att.', x.shape[-1]
    outs = []
    for pixels, sentence, keep in zip(x.flatten(1, 2), words, mask, strict=True):
        sentence = sentence[keep.bool()]
        q = _instance_norm(_linear(state, f'{att}f_query.0', pixels)).unflatten(-1, (heads, -1))
        k = _linear(state, f'{att}f_key.0', sentence).unflatten(-1, (heads, -1))
        v = _linear(state, f'{att}f_value.0', sentence).unflatten(-1, (heads, -1))
        weights = (torch.einsum('phd,thd->hpt', q, k) / channels**0.5).softmax(-1)
        context = torch.einsum('hpt,thd->phd', weights, v).flatten(1)
        language = _instance_norm(_linear(state, f'{att}W.0', context))
        visual = F.gelu(_linear(state, f'{name}vis_project.0', pixels))
        outs.append(F.gelu(_linear(state, f'{name}project_mm.0', visual * language)))
    return torch.stack(outs).view_as(x)


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = _pair(state, name)
    return x @ weight.flatten(1).T + bias


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = _pair(state, name)
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt() * weight + bias


def _instance_norm(x: Tensor) -> Tensor:
    """(pixels, C)"""
    return (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()


def _pair(state: State, name: str) -> tuple[Tensor, Tensor]:
    return state[f'{name}.weight'], state[f'{name}.bias']


def _running(state: State, name: str) -> tuple[Tensor, Tensor]:
    return state[f'{name}.running_mean'], state[f'{name}.running_var']


def _channel(x: Tensor) -> Tensor:
    return x[:, None, None]
