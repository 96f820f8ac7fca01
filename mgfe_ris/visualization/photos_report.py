"""The page of what was trained on a small pool of real photos, and tested on sentences by people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..output_files import whole_file
from .markdown import markdown_table
from .marked_page import write_between_marks
from .metrics_report import INTERVAL, SHOWN, with_interval

Rows = Mapping[str, Mapping[str, Any]]
"""Of each system, by test, what :func:`mgfe_ris.apis.read_photos` found."""


def write_photos(rows: Rows, page: str | Path, made: str, keep: bool = False) -> None:
    """The page, and ``<page>.json`` with all numbers.

    Args:
        rows: the systems.
        page: Markdown; made where there is none, else what stands between its marks is replaced.
        made: when, and with which commit.
        keep: the rows of the page that stands stay where they are, but for those that come anew; their lines of the
            tests need not be there any more.

    Raises:
        FileNotFoundError: no ``<page>.json`` to keep.
        ValueError: it is broken, or a kept row is of other counts of sentences or photos.
    """
    page = Path(page)
    numbers = page.with_suffix('.json')
    when = dict.fromkeys(rows, made)
    if keep:
        old = _read_numbers(numbers)
        _require_same_counts(rows, old['systems'])
        rows, when = {**_without_less(old['systems'], rows), **rows}, {**old['made'], **when}
    write_between_marks(page, photos_text(rows, when), title='Real photos, sentences by people')
    with whole_file(numbers) as part:
        part.write_text(json.dumps(dict(systems=rows, made=when), indent=1, allow_nan=False) + '\n', encoding='utf-8')


def _read_numbers(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        if found['systems'].keys() != found['made'].keys():
            raise KeyError('made')
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f'{path}: expected systems, and when each was tested; write the page anew') from error
    return found


def _without_less(kept: Rows, anew: Rows) -> Rows:
    """``kept`` without what they were more than systems that were tested anew."""
    return {
        row: {
            name: found | dict(less={other: less for other, less in found.get('less', {}).items() if other not in anew})
            for name, found in tests.items()
        }
        for row, tests in kept.items()
    }


def _require_same_counts(rows: Rows, kept: Rows) -> None:
    first, expected = next(iter(rows.items()))
    for row, tests in kept.items():
        for name in tests.keys() & expected.keys():
            if any(tests[name][key] != expected[name][key] for key in ('sentences', 'photos')):
                raise ValueError(f'{first} and {row}, {name}: tested on different samples')


def photos_text(rows: Rows, made: Mapping[str, str]) -> str:
    """What stands between the marks; ``made``: of each system, when."""
    tests = max(rows.values(), key=len)
    sets = [name for name in tests if not name.startswith(('pool', 'people'))]
    counts = {name: f'{found["sentences"]} sentences about {found["photos"]} photos' for name, found in tests.items()}
    return _PAGE.format(
        counts=counts,
        pool=_table(rows, _of_test('pool')),
        people=_table(rows, _of_test('people')),
        sets=_table(rows, [(f'{_SETS[name]}, {metric}', name, metric) for name in sets for metric in SHOWN[:2]]),
        differences=_differences(rows),
        interval=INTERVAL,
        made='\n'.join(f'- {row}: {when}' for row, when in made.items()),
    )


def _of_test(test: str) -> list[tuple[str, str, str]]:
    """Columns: what is written above it, the test, and the metric."""
    control = [
        (f'{metric}, {how}', f'{test}, {how}', metric) for metric in SHOWN[:2] for how in ('as said', 'exchanged')
    ]
    return [*((metric, test, metric) for metric in SHOWN), *control]


def _table(rows: Rows, columns: Sequence[tuple[str, str, str]]) -> str:
    """A cell is empty where a row that is kept from before was not tested so."""
    cells = [
        [row, found['pool']['seeds'] or 'none']
        + [with_interval(found[test]['metrics'][name]) if test in found else '' for _, test, name in columns]
        for row, found in rows.items()
    ]
    return markdown_table(['system', 'seeds', *(title for title, _, _ in columns)], cells)


def _differences(rows: Rows) -> str:
    cells = []
    for row, tests in rows.items():
        for other in [name for name in tests['pool'].get('less', {}) if name in rows]:
            pool, people = (tests[name]['less'][other] for name in ('pool', 'people'))
            seeds = len(pool['of_seeds']) if tests['pool']['seeds'] or rows[other]['pool']['seeds'] else 'none'
            cells.append([row, other, seeds, *map(_with_sign, (pool, people))])
    return markdown_table(['system', 'less', 'seeds', "the pool's val", 'sentences by people'], cells)


def _with_sign(less: Mapping[str, Any]) -> str:
    return f'{less["mean"]:+.1f} ({less["low"]:+.1f} to {less["high"]:+.1f})'


_SETS = {'refcoco': 'RefCOCO', 'refcoco+': 'RefCOCO+', 'refcocog': 'G-Ref'}


_PAGE = """
Few photos and sentences tell whether a model listens. **They are not comparable with published tables.**

All in percent, mean of the seeds and, where there are several, after ± their standard deviation. {interval} Masks are
compared at the photo's own size. The last four columns are a control, on the photos with several objects only: *as
said*, and *exchanged*, the same photos and objects with the sentences of each photo's objects exchanged (G-Ref's test
is left out: there, people spoke of one object in each photo). Who scores as much with exchanged sentences does not
listen.

## The pool's val: {counts[pool]}

The control: {counts[pool, exchanged]}.

{pool}

## Sentences by people: {counts[people]}

Every split of the three sets, pooled. The control: {counts[people, exchanged]}.

{people}

Set by set: RefCOCO {counts[refcoco]}, RefCOCO+ {counts[refcoco+]}, G-Ref {counts[refcocog]}.

{sets}

## Which is better

Differences of mIoU, of the same sentences and seeds, in points: *system* less *less*. In brackets: the 95 % interval,
which covers other photos and, with several seeds, other seeds; with one seed it is of these two trained models alone.

{differences}

When each row came into this page, and at which commit of this repository (*with changes*: some edits were not
committed); it was trained before that:

{made}
"""
