"""What systems score that were trained on a pool of real photos: the lines of tests that tools/test_photos.sh left."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...evaluation import Run, measured, require_same_samples
from ...visualization import read_results

SETS = {'refcoco': ('val', 'testA', 'testB'), 'refcoco+': ('val', 'testA', 'testB'), 'refcocog': ('val', 'test')}
"""Splits of each set of sentences by people."""
POOL = ('pool/val',)
PEOPLE = tuple(f'{name}/{split}' for name, splits in SETS.items() for split in splits)
TESTS = {
    'pool': POOL,
    'pool, exchanged': tuple(f'{file}-shuffled' for file in POOL),
    'people': PEOPLE,
    'people, exchanged': tuple(f'{file}-shuffled' for file in PEOPLE if file != 'refcocog/test'),  # as the script says
    **{name: tuple(file for file in PEOPLE if file.startswith(f'{name}/')) for name in SETS},
}
"""Of each test, the files of a run's folder whose samples are pooled, without ``.jsonl``; see tools/test_photos.sh."""


def read_photos(rows: Mapping[str, str | Path]) -> dict[str, dict[str, Any]]:
    """What the systems scored.

    Args:
        rows: of each system its folder, with a run in each of ``seed0/``, ``seed1/``, ..., or a single run.

    Returns:
        of each system, of each of :data:`TESTS`, what :func:`mgfe_ris.evaluation.measured` found.

    Raises:
        FileNotFoundError: a file that a run lacks.
        ValueError: a broken file; runs that were tested on different samples, or with masks of other sizes.
    """
    runs = {row: _read_runs(Path(folder)) for row, folder in rows.items()}
    first, expected = next(iter(runs.items()))
    for row, tests in runs.items():
        for name, of_test in tests.items():
            try:
                require_same_samples([*expected[name], *of_test])
            except ValueError as error:
                raise ValueError(f'{row} and {first}, {name}: {error}, or compared masks at other sizes') from error
    return {row: {name: measured(of_test) for name, of_test in tests.items()} for row, tests in runs.items()}


def _read_runs(folder: Path) -> dict[str, list[Run]]:
    """By test, a run per seed."""
    runs: dict[str, list[Run]] = {name: [] for name in TESTS}
    for place in sorted(folder.glob('seed*'), key=_seed_of) or [folder]:
        found = {file: read_results(place / f'{file}.jsonl') for files in TESTS.values() for file in files}
        for name, files in TESTS.items():
            runs[name].append(Run.of(_seed_of(place), [line for file in files for line in found[file]]))
    return runs


def _seed_of(folder: Path) -> int:
    found = re.fullmatch(r'seed(\d+)', folder.name)
    return int(found[1]) if found else 0
