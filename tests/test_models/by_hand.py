"""What the models are compared with: their elementary operations in numpy, for one photo, (C, H, W), at a time.

Written from the equations, in float64, with loops where torch has a function: nothing here calls what it checks.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.func import functional_call

_erf = np.vectorize(math.erf)


def array(x: Tensor) -> np.ndarray:
    return x.detach().double().numpy()


def linear(layer: nn.Linear, x: np.ndarray) -> np.ndarray:
    """(T, C_in) -> (T, C_out)."""
    return np.einsum('oc,tc->to', array(layer.weight), x) + array(layer.bias)


def conv(layer: nn.Conv2d, x: np.ndarray) -> np.ndarray:
    """Stride 1, zeros around the map; depth-wise or full."""
    weight = array(layer.weight)
    pad = weight.shape[-1] // 2
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((len(weight), height, width))
    for i, j in np.ndindex(weight.shape[2:]):
        shifted = padded[:, i : i + height, j : j + width]
        if layer.groups == 1:
            out += np.einsum('oc,chw->ohw', weight[:, :, i, j], shifted)
        else:
            out += weight[:, 0, i, j, None, None] * shifted
    return out if layer.bias is None else out + array(layer.bias)[:, None, None]


def instance_norm(x: np.ndarray) -> np.ndarray:
    mean = x.mean((1, 2), keepdims=True)
    variance = ((x - mean) ** 2).mean((1, 2), keepdims=True)
    return (x - mean) / np.sqrt(variance + 1e-5)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def softmax(x: np.ndarray, axis: int = 0) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def upsample(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear; the corners' centres stay where they are (align_corners=True)."""
    out = np.zeros((len(x), *size))
    for i, j in np.ndindex(*size):
        y = i * (x.shape[1] - 1) / max(size[0] - 1, 1)
        z = j * (x.shape[2] - 1) / max(size[1] - 1, 1)
        for a, b in np.ndindex(*x.shape[1:]):
            out[:, i, j] += max(0, 1 - abs(y - a)) * max(0, 1 - abs(z - b)) * x[:, a, b]
    return out


def randomize(module: nn.Module, std: float = 0.4) -> nn.Module:
    """In float64, with no parameter at 0 or 1: one that is left out must show."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std)
    return module.double()


def assert_agrees(module: nn.Module, reference: Callable, *inputs: Tensor) -> None:
    """``module`` on the batch is ``reference(module, ...)`` on each of its photos, to 1e-10."""
    expected = np.stack([reference(module, *photo) for photo in zip(*map(array, inputs), strict=True)])
    assert expected.std() > 1e-3, 'nothing to compare'
    torch.testing.assert_close(module(*inputs), torch.from_numpy(expected), rtol=0, atol=1e-10)


def assert_gradients(module: nn.Module, *inputs: Tensor, fast: bool = False) -> None:
    """Autograd agrees with finite differences, for each parameter and each float input; ``fast``: along random
    directions of each, not number by number."""
    names = [name for name, _ in module.named_parameters()]
    values = [value.detach() for _, value in module.named_parameters()] + [*inputs]
    checked = [i for i, value in enumerate(values) if value.is_floating_point()]

    def run(*new: Tensor) -> Tensor:
        filled = dict(zip(checked, new, strict=True))
        now = [filled.get(i, value) for i, value in enumerate(values)]
        state = dict(zip(names, now[: len(names)], strict=True))
        return functional_call(module, state, tuple(now[len(names) :]))

    assert gradcheck(run, [values[i].clone().requires_grad_() for i in checked], fast_mode=fast)
