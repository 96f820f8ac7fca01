"""Weights in the files of Darknet, the program that YOLO was written in."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

DARKNET_SUFFIX = '.weights'


def read_darknet(encoder: nn.Module, path: str | Path) -> None:
    """Load a file of Darknet's: numbers of its version, and how many photos it has seen; then of each convolution, in
    the order of its network, the norm's bias, weight, mean and variance, and the kernel, in float32.

    What stands after the encoder's last layer, as YOLOv3's heads do, is not read.

    Args:
        encoder: whose convolutions and their norms are built in the order in which they are run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is too short for this encoder.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; name a file of Darknet, or leave out encoder.init_cfg')
    size = path.stat().st_size
    major, minor, *_ = np.fromfile(path, np.int32, 2).tolist() if size >= 12 else (0, 0)
    header = 12 + (8 if major * 10 + minor >= 2 else 4)  # it counts photos in 64 bits from version 0.2 on
    tensors = _in_order(encoder)
    sizes = [tensor.numel() for tensor in tensors]
    if (there := max(size - header, 0) // 4) < sum(sizes):
        raise ValueError(f'{path}: has {there} weights, the encoder {sum(sizes)}: is it a file of another network?')
    values = torch.from_numpy(np.fromfile(path, np.float32, sum(sizes), offset=header))
    with torch.no_grad():
        for tensor, value in zip(tensors, values.split(sizes), strict=True):
            tensor.copy_(value.view_as(tensor))


def _in_order(encoder: nn.Module) -> list[Tensor]:
    """What the file holds, of our encoder."""
    tensors: list[Tensor] = []
    kernel = None
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            kernel = module.weight
        elif isinstance(module, nn.BatchNorm2d) and kernel is not None:
            norm = module.state_dict(keep_vars=True)
            tensors += [*(norm[name] for name in ('bias', 'weight', 'running_mean', 'running_var')), kernel]
            kernel = None
    return tensors
