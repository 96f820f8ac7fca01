"""The machine that a speed is measured on: its names, its clock, its memory, and how fast it multiplies matrices."""

import ctypes
import gc
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..tf32 import tf32_in_use
from ..version import __version__

Clock = Callable[[], float]
"""Seconds, after everything that was asked of the device so far."""


def describe_machine(device: torch.device) -> dict[str, str | int]:
    """Names and versions, and of a GPU what it computes as TF32, for a reader who wants to compare."""
    versions = {'torch': torch.__version__, 'python': platform.python_version(), 'mgfe_ris': __version__}
    if device.type == 'cuda':
        tf32 = ', '.join(kind for kind, used in tf32_in_use().items() if used) or 'none'
        return {
            'device': torch.cuda.get_device_name(device),
            'cuda': str(torch.version.cuda),
            'tf32': tf32,
            **versions,
        }
    return {'device': _cpu_name(), 'threads': torch.get_num_threads(), **versions}


def _cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = (line.split(':', 1)[1].strip() for line in lines if line.startswith('model name'))
    return next(names, platform.processor() or platform.machine())


def clock_of(device: torch.device) -> Clock:
    def now() -> float:
        if device.type == 'cuda':
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def memory_in_use(device: torch.device) -> float:
    """Bytes: on CUDA what torch allocated, else the resident set; not a number where the system does not tell."""
    if device.type == 'cuda':
        return torch.cuda.memory_allocated(device)
    _give_back()
    return _resident('VmRSS')


def reset_memory_peak(device: torch.device) -> None:
    """From now on."""
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == 'linux':
        _give_back()
        Path('/proc/self/clear_refs').write_text('5')  # see "man proc_pid_clear_refs"


def memory_peak(device: torch.device) -> float:
    """Bytes since :func:`reset_memory_peak`."""
    if device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device)
    return _resident('VmHWM')


def _give_back() -> None:
    """glibc keeps some of what was freed; what a step took of that would not be seen."""
    gc.collect()
    if sys.platform == 'linux' and (trim := getattr(ctypes.CDLL(None), 'malloc_trim', None)):
        trim(0)


def _resident(field: str) -> float:
    status = Path('/proc/self/status')
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(f'{field}:')), float('nan'))


class SquareProduct:
    """A product of two square matrices, large enough to keep the device busy: what a model can hope for at best.

    On CUDA by the settings of :func:`set_tf32`: by default float32 products are whole, and convolutions run as TF32.

    Args:
        device: where.
        dtype: of the matrices.
        now: the device's clock.
        seconds: the side is doubled, from 256 up to 8192, until one product takes as long.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, now: Clock, seconds: float = 0.05):
        self.side = 128
        while self.side < 8192:
            self.side *= 2
            self._a, self._b = (torch.randn(self.side, self.side, device=device).to(dtype) for _ in range(2))
            self()  # the first one of a size takes longer
            start = now()
            self()
            if now() - start >= seconds:
                break
        self.flops = 2 * self.side**3

    def __call__(self) -> None:
        torch.mm(self._a, self._b)
