"""What trainings set for a CPU."""

import platform
import subprocess
import sys

import pytest

# Pages of 4 KiB that the system had to hand out for a tensor of 64 MB of which the memory was used before
FAULTS = """
import resource, sys
import torch
from mgfe_ris.apis import prepare_cpu

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if sys.argv[1] == 'prepared':
    prepare_cpu()
torch.zeros(2**24).add_(1)
faults()
print(faults(), float(torch.tensor(1e-40) + torch.tensor(0.0)))
"""


def run(how: str) -> tuple[int, float]:
    done = subprocess.run([sys.executable, '-c', FAULTS, how], capture_output=True, text=True, check=True)
    faults, tiny = done.stdout.split()[-2:]
    return int(faults), float(tiny)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='other C libraries have no such setting')
def test_memory_stays_and_tiny_numbers_go():
    faults, tiny = run('prepared')
    before, kept = run('as it is')
    assert faults < 100 and tiny == 0
    assert before > 100 and kept > 0
