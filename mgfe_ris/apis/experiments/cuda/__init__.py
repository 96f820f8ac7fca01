"""What a GPU makes of all this, in minutes: numbers, waiting, graphs, speed, memory, and the evaluation loop."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.logging import MMLogger

from ....output_files import whole_file
from ....profiling import describe_machine
from ..rivals import find_systems
from ..small_models import importable
from .bench import Bench
from .correctness import BOUNDS, correctness_items
from .evaluation import evaluation_items
from .graphs import graph_items
from .loop import loop_items
from .plan import Item, work_off
from .speed import Models, speed_items

__all__ = ['SECTIONS', 'broken_bounds', 'check_cuda', 'cuda_items', 'measure_cuda']

SECTIONS = ('correctness', 'waiting', 'compile', 'speed', 'evaluation')


def check_cuda(projects: Path, device: str, minutes: float, sections: Sequence[str] | None = None) -> None:
    """Look whether :func:`measure_cuda` could begin.

    Raises:
        ValueError: no such device, section or folder; no minute.
    """
    if not minutes > 0:
        raise ValueError(f'minutes must be more than 0; got {minutes}')
    if device not in ('cpu', 'cuda'):
        raise ValueError(f'device must be cpu or cuda; got {device!r}')
    if device == 'cuda' and not torch.cuda.is_available():
        raise ValueError('device cuda: this machine or this build of torch has no CUDA; use cpu, with --small')
    if unknown := set(sections or ()) - set(SECTIONS):
        raise ValueError(f'no section {", ".join(sorted(unknown))}; there are {", ".join(SECTIONS)}')
    find_systems(projects)


def measure_cuda(
    out: Path,
    projects: Path,
    device: str = 'cuda',
    minutes: float = 10,
    small: bool = False,
    sections: Sequence[str] | None = None,
    made: dict[str, Any] | None = None,
    tell: Callable[[str], object] = print,
) -> dict[str, Any]:
    """Measure, and write ``cuda.json`` after each measurement, so that nothing is lost.

    Args:
        out: a folder for it.
        projects: that folder of a checkout, with the rivals and the naive reference.
        device: ``cuda``, or ``cpu``, where parts of it say that they need CUDA.
        minutes: after which it stops with what it has.
        small: as little of everything as shows that it runs.
        sections: some of them; None: all.
        made: written beside: ``command``, ``date``, ``commit``.
        tell: called with a line after each measurement.

    Returns:
        what the JSON holds: ``rows`` and ``left_out`` of :func:`work_off`, ``bounds``, ``machine``, ``setting``,
        ``broken``, see :func:`broken_bounds`, and ``made``.

    Raises:
        ValueError: see :func:`check_cuda`.
    """
    check_cuda(projects, device, minutes, sections)
    MMLogger.get_instance('cuda', log_level='ERROR')  # mmengine tells the rate of every weight
    with TemporaryDirectory(prefix='mgfe_ris_cuda_') as scratch:
        bench = Bench(torch.device(device), projects, Path(scratch), small)
        with importable(projects):
            items = cuda_items(bench, sections)
            known = dict(
                made=made or {},
                machine=_machine(bench.device),
                setting=dict(device=device, minutes=minutes, small=small, items=len(items)),
                bounds={precision: asdict(bound) for precision, bound in BOUNDS.items()},
            )
            told: set[tuple[str, str]] = set()

            def save(found: dict[str, Any]) -> None:
                found['broken'] = broken_bounds(found)
                with whole_file(out / 'cuda.json') as part:
                    part.write_text(json.dumps({**known, **found}, indent=1) + '\n', encoding='utf-8')
                for section, rows in found['rows'].items():
                    for row in rows:
                        if (section, row['name']) not in told:
                            told.add((section, row['name']))
                            tell(f'{section}: {row["name"]}: {_said(row)}, {row["seconds"]:.1f} s')

            return {**known, **work_off(items, 60 * minutes, save)}


def _machine(device: torch.device) -> dict[str, str | int]:
    """Without what is TF32, which each section sets, and with the memory of a GPU."""
    found = {key: value for key, value in describe_machine(device).items() if key != 'tf32'}
    if device.type == 'cuda':
        about = torch.cuda.get_device_properties(device)
        found |= {'GiB': round(about.total_memory / 2**30), 'capability': f'{about.major}.{about.minor}'}
    return found


def cuda_items(bench: Bench, sections: Sequence[str] | None = None) -> list[Item]:
    """All measurements, or those of some sections."""
    models = Models(bench)
    items = [
        *correctness_items(bench),
        *loop_items(bench),
        *graph_items(bench),
        *speed_items(models),
        *evaluation_items(models),
    ]
    return [item for item in items if item.section in (sections or SECTIONS)]


def broken_bounds(report: dict[str, Any]) -> list[str]:
    """What is not right: rows that do not hold; of what is compared or must not wait, also those that ended in an
    error."""
    return [
        f'{section}: {row["name"]}'
        for section, rows in report['rows'].items()
        for row in rows
        if not row.get('holds', True) or (section in ('correctness', 'waiting', 'compile') and 'error' in row)
    ]


def _said(row: dict[str, Any]) -> str:
    if 'error' in row:
        return row['error']
    return row.get('skipped') or ('does not hold' if not row.get('holds', True) else 'done')
