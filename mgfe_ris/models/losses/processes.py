"""Losses that are means over what all processes of a training have, not over what one has."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def sum_over_processes(*parts: Tensor) -> list[Tensor]:
    """The sums of these over all processes, in each of them; as they are, where there is one.

    A loss of such sums is the same number in all processes. Its gradient is that of this process's samples times the
    number of processes: distributed training takes the mean of the gradients, which then is that of one process with
    all samples.

    Args:
        parts: tensors of any shape, of one type and device, in each process alike.
    """
    processes = get_world_size()
    if processes == 1:
        return list(parts)
    total = torch.cat([part.detach().flatten() for part in parts])
    all_reduce(total)
    sums = total.split([part.numel() for part in parts])
    # the value of the sum, the gradient of the part
    return [s.view_as(p) + processes * (p - p.detach()) for s, p in zip(sums, parts, strict=True)]


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of all numbers in all processes, which may have different numbers of them."""
    if get_world_size() == 1:
        return values.mean()
    total, count = sum_over_processes(values.sum(), values.new_full((), values.numel()))
    return total / count
