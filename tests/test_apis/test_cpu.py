"""What trainings set for a CPU."""

import ctypes
import subprocess
import sys

import pytest

# Bytes that glibc mapped for a tensor of 64 MiB alone, and those that stay in its heap when the tensor is gone
MEMORY = """
import ctypes, sys
import torch

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in 'arena ordblks smblks hblks hblkhd a b c d e'.split()]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Info
if sys.argv[1] == 'prepared':
    from mgfe_ris.apis import prepare_cpu
    prepare_cpu()
before = mallinfo2()
tensor = torch.zeros(2**24)
mapped = mallinfo2().hblkhd - before.hblkhd
del tensor
print(mapped, mallinfo2().arena - before.arena, float(torch.tensor(1e-40) + torch.tensor(0.0)))
"""


def run(how: str) -> tuple[int, int, float]:
    done = subprocess.run([sys.executable, '-c', MEMORY, how], capture_output=True, text=True, check=True)
    mapped, kept, tiny = done.stdout.split()[-3:]
    return int(mapped), int(kept), float(tiny)


@pytest.mark.skipif(
    sys.platform != 'linux' or not hasattr(ctypes.CDLL(None), 'mallinfo2'), reason='glibc from 2.33 tells of its memory'
)
def test_memory_stays_and_tiny_numbers_go():
    mapped, kept, tiny = run('prepared')
    assert mapped == 0 and kept >= 2**25 and tiny == 0  # what lay free before is used first
    mapped, kept, tiny = run('as it is')
    assert mapped >= 2**26 and kept < 2**20 and tiny > 0
