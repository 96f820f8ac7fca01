"""Floating point operations of matrix products and convolutions, by one rule for every torch and device."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

_FUSED = (
    'flash_attention',
    'flash_attention_for_cpu',
    'efficient_attention',
    'cudnn_attention',
    'fused_attention_overrideable',
)
"""What ``scaled_dot_product_attention`` may run. Some versions of torch count no operation of some of them."""


def count_by_operator(run: Callable[[], object]) -> dict[str, int]:
    """Floating point operations, two per multiply-accumulate, by operator: ``aten.mm``, ``aten.convolution``, ...

    Attention is its two matrix products on the way there and four on the way back, in whatever way it is computed: what
    a fused backward pass computes once more is not counted.
    """
    from torch.utils.flop_counter import FlopCounterMode  # here: it brings a compiler for GPUs along

    with FlopCounterMode(display=False, custom_mapping=dict(_attention_rules())) as counter:
        run()
    return {str(op): flops for op, flops in counter.get_flop_counts().get('Global', {}).items()}


def _attention_rules() -> Iterator[tuple[Any, Callable[..., int]]]:
    for name in _FUSED:
        if hasattr(torch.ops.aten, f'_scaled_dot_product_{name}'):
            yield getattr(torch.ops.aten, f'_scaled_dot_product_{name}'), _forward
            yield getattr(torch.ops.aten, f'_scaled_dot_product_{name}_backward'), _backward


Shape = Sequence[int]


def _forward(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Shapes (B, heads, N, d), (B, heads, M, d), (B, heads, M, e): the scores, and their sum of values."""
    batch, heads, n, d = query
    return 2 * batch * heads * n * key[2] * (d + value[3])


def _backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    return 2 * _forward(query, key, value)
