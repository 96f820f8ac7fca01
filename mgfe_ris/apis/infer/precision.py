"""Whether bf16 pays where a model computes: products that are timed in turn say it, and no name of a processor."""

from collections.abc import Callable
from functools import cache
from statistics import median

import torch

from ...profiling.machine import clock_of

PRECISIONS = ('fp32', 'bf16', 'auto')
MARGIN = 0.8
"""Of the time in float32, that a product in bf16 may take: a little faster is not worth other masks."""
HOPELESS = 4.0
"""At so many times, larger products are not tried: without instructions for bf16 one may take 1,000 times as long."""
PAIRS = 9
SIDES = {'cpu': (128, 384), 'cuda': (2048,)}
"""Of square matrices, by the kind of device: a few ms of products; the last one, which decides, keeps it busy."""

Pairs = list[tuple[float, float]]


@cache
def choose_precision(device: torch.device) -> str:
    """``fp32`` or ``bf16``: what pays on the device, which is measured once in a process."""
    return 'bf16' if bf16_pays(device, time_products) else 'fp32'


def bf16_pays(device: torch.device, time: Callable[[torch.device, int], Pairs]) -> bool:
    """Whether in most pairs of products bf16 is faster by a clear margin: what holds up a few decides nothing.

    Args:
        device: of a kind in ``SIDES``.
        time: :func:`time_products`.
    """
    ratio = HOPELESS
    for side in SIDES[device.type]:
        ratio = median(half / whole for whole, half in time(device, side))
        if ratio > HOPELESS:
            break
    return ratio < MARGIN


@torch.inference_mode()
def time_products(device: torch.device, side: int) -> Pairs:
    """Seconds of a product of square matrices in float32 and in bf16, in turn."""
    whole = torch.randn(side, side, device=device, generator=torch.Generator(device).manual_seed(0))
    half = whole.bfloat16()
    now = clock_of(device)

    def seconds(matrix: torch.Tensor) -> float:
        start = now()
        matrix @ matrix
        return now() - start

    pairs = [(seconds(whole), seconds(half)) for _ in range(PAIRS + 1)]
    return pairs[1:]  # the first ones of a size load kernels, and fill caches
