"""Parameters and multiply-accumulates, counted as the paper's Tables 2 and 3 do, and completely."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor, nn

from .flops import count_by_operator
from .workload import text_of

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)
_LINEAR_OPS = {'aten.convolution', 'aten.mm', 'aten.addmm'}


@dataclass(frozen=True)
class Complexity:
    """Of one photo and one sentence. Parameters in millions; the rest in giga multiply-accumulates, which the
    paper, as ``thop`` does, calls GFLOPs."""

    image_params: float
    text_params: float
    image_modules: float
    """Convolutions, linear layers, normalisations and the softmax of window attention: the paper's convention."""
    image_attention: float
    """The matrix products inside attention, image side; of a model without a ``decode_head``, all products that none of
    those modules makes."""
    text: float
    """The text encoder, its attention products included."""


@torch.no_grad()
def count_complexity(model: Any, size: tuple[int, int] = (480, 480), words: int = 30) -> Complexity:
    """Count on one forward pass of sizes alone, which computes nothing.

    Args:
        model: of any shape; its text side is its ``text_encoder``, if it has one.
        size: of the photo, (height, width) in pixels.
        words: tokens of the sentence; 30 in the paper's tables.

    Raises:
        ValueError: more words than the text encoder takes.
    """
    model = _of_sizes(model).eval()
    encoder = getattr(model, 'text_encoder', None)
    windows = [module for module in model.modules() if isinstance(module, ShiftWindowMSA)]
    counted_elsewhere = {
        *(encoder.modules() if encoder is not None else ()),
        *(layer for module in windows for layer in module.w_msa.modules()),
    }
    macs: list[tuple[Any, float]] = []
    for module in model.modules():
        if module not in counted_elsewhere:
            module.register_forward_hook(lambda m, inputs, out: macs.append((m, _module_macs(m, inputs, out))))
    # what windows compute of their linear layers: padding, and the softmax, are counted above alone
    computed: list[float] = []
    for window in windows:
        for layer in (window.w_msa.qkv, window.w_msa.proj):
            layer.register_forward_hook(lambda m, inputs, out: computed.append(_module_macs(m, inputs, out)))
    feats: list[Any] = []
    head = getattr(model, 'decode_head', None)
    if head is not None:
        head.register_forward_pre_hook(lambda m, inputs: feats.append(inputs[0]))
    photo = torch.zeros(1, 3, *size, device='meta')
    ids = torch.zeros(1, words, dtype=torch.long, device='meta')
    mask = torch.ones_like(ids, dtype=torch.bool)
    if encoder is not None:
        text_of(model, ids)  # or a line that says what is wrong
    everything, counted = count_by_operator(lambda: model.segment(photo, ids, mask)), list(macs)
    in_windows = sum(computed)
    text = {} if encoder is None else count_by_operator(lambda: encoder(ids, mask))
    if head is None:
        made = sum(count for module, count in counted if not isinstance(module, (*_NORMS, ShiftWindowMSA)))
        attention = (sum(everything.values()) - sum(text.values())) / 2 - made - in_windows
    else:
        up_sampling = count_by_operator(lambda: head(feats[0]))  # by products, which are no attention
        attention = (_attention(everything) - _attention(text) - _attention(up_sampling)) / 2
    text_params = 0 if encoder is None else sum(p.numel() for p in encoder.parameters())
    all_params = sum(p.numel() for p in model.parameters())
    return Complexity(
        image_params=(all_params - text_params) / 1e6,
        text_params=text_params / 1e6,
        image_modules=sum(count for _, count in counted) / 1e9,
        image_attention=attention / 1e9,
        text=sum(text.values()) / 2e9,
    )


def _of_sizes(model: nn.Module) -> nn.Module:
    """A copy whose tensors have sizes and no numbers."""
    parameters = {id(p): nn.Parameter(p.to('meta'), p.requires_grad) for p in model.parameters()}
    buffers = {id(b): b.to('meta') for b in model.buffers()}
    return copy.deepcopy(model, {**parameters, **buffers})


def _module_macs(module: nn.Module, inputs: tuple, out: Tensor) -> float:
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
        return out.numel() * module.weight[0].numel()
    if isinstance(module, _NORMS):
        affine = getattr(module, 'affine', False) or getattr(module, 'elementwise_affine', False)
        return inputs[0].numel() * (4 if affine else 2)
    if isinstance(module, ShiftWindowMSA):
        return _windows(module, inputs)
    return 0


def _windows(module: Any, inputs: tuple) -> float:
    """Of whole windows, padding included, whether it is computed or not: the linear layers, and the softmax, which is
    a module of the original Swin, so thop counts it: per row of n, n exponentials, n - 1 sums, n quotients."""
    tokens, (height, width) = inputs
    n, msa = module.window_size**2, module.w_msa
    windows = -(-height // module.window_size) * -(-width // module.window_size)
    per_window = n * (msa.qkv.weight.numel() + msa.proj.weight.numel() + msa.num_heads * (3 * n - 1))
    return len(tokens) * windows * per_window


def _attention(counts: dict) -> float:
    return sum(flops for op, flops in counts.items() if op not in _LINEAR_OPS)
