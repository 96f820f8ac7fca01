"""What systems score that were trained on a pool of real photos: the lines of tests that tools/test_photos.sh left."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
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
        of each system, of each test, what :func:`mgfe_ris.evaluation.measured` found; ``seeds`` is None of a single
        run. The tests are :data:`TESTS`, and ``pool, as said`` and ``people, as said``: the samples whose sentences
        are exchanged in another test, before that.

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
    return {row: {name: _measured(of_test) for name, of_test in tests.items()} for row, tests in runs.items()}


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
