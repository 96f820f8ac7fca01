"""Which of several kernels a device took, and how long it computed."""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

_OPERATORS = re.compile(r'aten::_scaled_dot_product_(?!.*backward)\w+|aten::\w*grid_sampler\w*|aten::_embedding_bag\w*')
"""What attention and deformable attention may run, on the way there."""
_KERNELS = re.compile(r'flash|fmha|sdpa|grid_sampler', re.IGNORECASE)
"""In the names of what a GPU runs for them."""


def kernels_of(run: Callable[[], object], device: torch.device) -> dict[str, int]:
    """How often ``run()`` called what may serve attention and sampling: operators of torch, whose names tell flash,
    memory-efficient, cuDNN's and plain attention apart; and, on CUDA, the device's own kernels."""
    found: dict[str, int] = {}
    cuda = [ProfilerActivity.CUDA] if device.type == 'cuda' else []
    for event in _profiled(run, device, [ProfilerActivity.CPU, *cuda]).events():
        name = event.name
        if event.device_type == DeviceType.CPU:
            if _OPERATORS.fullmatch(name):
                name = name.removeprefix('aten::').removeprefix('_')
                found[name] = found.get(name, 0) + 1
        elif _KERNELS.search(name) and not getattr(event, 'is_user_annotation', False):
            name = re.sub(r'^void |<.*|\(.*', '', name.replace('(anonymous namespace)::', ''))[:80]
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def device_seconds(run: Callable[[], object], device: torch.device) -> float:
    """In which a CUDA device computed or copied while ``run()`` ran; what overlaps counts once."""
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in _profiled(run, device, [ProfilerActivity.CUDA]).events()
        if event.device_type == DeviceType.CUDA and not getattr(event, 'is_user_annotation', False)
    )
    busy, end = 0.0, float('-inf')
    for begin, stop in spans:
        busy += max(0.0, stop - max(begin, end))
        end = max(end, stop)
    return busy / 1e6


def _profiled(run: Callable[[], object], device: torch.device, activities: list[ProfilerActivity]) -> Any:
    with profile(activities=activities) as profiled:
        run()
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
    return profiled
