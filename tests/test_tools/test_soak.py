"""A long training keeps the memory and the open files that it had early on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
from slow import slow

from mgfe_ris.datasets.synthetic import write_refshapes

REPO = Path(__file__).parents[2]
STEPS, WORKERS, EPOCHS = 2000, 4, 12


class Usage(NamedTuple):
    """Of a training and its workers together."""

    step: int
    processes: int
    memory: int  # bytes, proportional set size: what processes share counts once
    files: int


@slow('2,000 steps of training')
@pytest.mark.skipif(not Path('/proc/self/smaps_rollup').is_file(), reason='memory is read from /proc of Linux')
def test_2000_steps_with_4_workers_keep_memory_and_descriptors(small_model, tmp_path):
    """Validations, checkpoints and pictures are part of it."""
    write_refshapes(tmp_path, 'refshapes', images=400, seed=0, size=64, progress=False)
    settings = {**small_model, 'data_root': tmp_path, 'train_cfg.max_epochs': EPOCHS, 'param_scheduler.1.end': EPOCHS}
    settings |= {'train_dataloader.batch_size': 4, 'train_dataloader.num_workers': WORKERS}
    texts = {k: ','.join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    options = [f'{key}={value}' for key, value in {**texts, 'default_hooks.logger.interval': 10}.items()]
    seen = watch(['mgfe-ris_tiny_refshapes', '--work-dir', str(tmp_path / 'run'), '--cfg-options', *options], tmp_path)
    assert seen[-1].step >= STEPS
    training = [one for one in seen if one.processes > WORKERS]  # the workers are there
    early = [one for one in training if STEPS // 4 <= one.step < STEPS // 2]
    late = [one for one in training if one.step >= STEPS * 3 // 4]
    for what in ('memory', 'files'):
        before, after = (median(getattr(one, what) for one in part) for part in (early, late))
        print(f'{what} {before:,.0f} -> {after:,.0f} (medians of {len(early)} and {len(late)} looks)')
        assert after <= 1.02 * before, what


def watch(arguments: list[str], folder: Path) -> list[Usage]:
    """Train, and look every half second."""
    with (folder / 'log').open('w') as log:
        training = subprocess.Popen(
            [sys.executable, '-W', 'ignore', REPO / 'tools/train.py', *arguments],
            cwd=REPO,
            env={**os.environ, 'PYTHONPATH': str(REPO), 'OMP_NUM_THREADS': '1'},
            stdout=log,
            stderr=log,
        )
        seen = []
        while training.poll() is None:
            time.sleep(0.5)
            seen.append(look(training.pid, folder / 'run'))
    assert training.returncode == 0, (folder / 'log').read_text()[-3000:]
    return [one for one in seen if one is not None]


def look(pid: int, work_dir: Path) -> Usage | None:
    """None: a process ended while it was looked at."""
    try:
        children = [
            int(child)
            for task in Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()
        ]
        processes = [Path('/proc', str(one)) for one in (pid, *children)]
        memory = sum(int((one / 'smaps_rollup').read_text().split('\nPss:')[1].split()[0]) * 1024 for one in processes)
        files = sum(len(list((one / 'fd').iterdir())) for one in processes)
    except (FileNotFoundError, ProcessLookupError):
        return None
    logged = [line for file in work_dir.glob('*/vis_data/scalars.json') for line in file.read_text().splitlines()]
    steps = [row['step'] for row in map(json.loads, logged) if 'loss' in row]
    return Usage(max(steps, default=0), len(processes), memory, files)
