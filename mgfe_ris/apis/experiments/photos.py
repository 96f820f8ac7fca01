"""What systems score that were trained on a pool of real photos: the lines of tests that tools/test_photos.sh left."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from ...evaluation import Run, measured, paired_bootstrap, require_same_samples
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
        of each system, of each test, what :func:`mgfe_ris.evaluation.measured` found; ``seeds`` is None of a single
        run. The tests are :data:`TESTS`, and ``pool, as said`` and ``people, as said``: the samples whose sentences
        are exchanged in another test, before that. ``pool`` and ``people`` also have ``less``: of each earlier system,
        how much higher the mIoU is than there, of the same seeds, as
        :class:`mgfe_ris.evaluation.bootstrap.Difference`.

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
    found = {row: {name: _measured(of_test) for name, of_test in tests.items()} for row, tests in runs.items()}
    for other, row in combinations(runs, 2):
        for name in ('pool', 'people'):
            if pair := _of_the_same_seeds(runs[row][name], runs[other][name]):
                found[row][name].setdefault('less', {})[other] = asdict(paired_bootstrap(*pair))
    return found


def _of_the_same_seeds(one: list[Run], other: list[Run]) -> tuple[list[Run], list[Run]] | None:
    """What has no seeds stands beside each of the other's; None: no seed in common."""
    if one[0].seed < 0 or other[0].seed < 0:
        seeds = {run.seed for run in (*one, *other) if run.seed >= 0} or {-1}
        one, other = ([replace(runs[0], seed=s) for s in seeds] if runs[0].seed < 0 else runs for runs in (one, other))
    seeds = {run.seed for run in one} & {run.seed for run in other}
    one, other = (sorted((run for run in runs if run.seed in seeds), key=lambda run: run.seed) for runs in (one, other))
    return (one, other) if seeds else None


def _measured(runs: list[Run]) -> dict[str, Any]:
    return measured(runs) | ({} if runs[0].seed >= 0 else dict(seeds=None))


def _read_runs(folder: Path) -> dict[str, list[Run]]:
    """By test, a run per seed; the single run of what has no seeds is of seed -1."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for place in sorted(folder.glob('seed*'), key=_seed_of) or [folder]:
        found = {file: read_results(place / f'{file}.jsonl') for files in TESTS.values() for file in files}
        for name, files in TESTS.items():
            runs[name].append(Run.of(_seed_of(place), [line for file in files for line in found[file]]))
            if name.endswith(', exchanged'):
                as_said = name.replace('exchanged', 'as said')
                runs[as_said].append(Run.of(_seed_of(place), list(_as_said(found, files))))
    return runs


def _as_said(found: Mapping[str, list[Mapping[str, Any]]], files: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Lines about the photos of these files, from those without exchanged sentences."""
    for file in files:
        photos = {line['img_id'] for line in found[file]}
        yield from (line for line in found[file.removesuffix('-shuffled')] if line['img_id'] in photos)


def _seed_of(folder: Path) -> int:
    found = re.fullmatch(r'seed(\d+)', folder.name)
    return int(found[1]) if found else -1
