"""Settings of the process that make a CPU compute faster, and change no result."""

import ctypes
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_EVERYTHING = 2**31 - 1


def prepare_cpu() -> None:
    """For trainings and measurements, ahead of the first tensor.

    Numbers too small for a normal float count as 0: they make arithmetic several times slower, and serve nothing here.

    Freed memory stays with the process, where the C library is glibc: it gives large blocks back to the system each
    time, so that each large tensor of each step is mapped, and cleared page by page, anew.
    """
    torch.set_flush_denormal(True)
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None) if sys.platform == 'linux' else None  # musl has none
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _EVERYTHING)
        mallopt(_M_TRIM_THRESHOLD, _EVERYTHING)
