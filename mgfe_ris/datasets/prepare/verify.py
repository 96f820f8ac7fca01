"""Annotations against the published numbers, and train against what is held out."""

from collections.abc import Iterator
from itertools import combinations

from .findings import Findings
from .known_facts import KNOWN, KNOWN_TOTALS, SHARED_PHOTOS, SplitFacts
from .survey import Survey


def verify(surveys: list[Survey], subset: bool, findings: Findings) -> dict[str, dict]:
    """data set -> who split it -> counts, expected counts and verdict.

    Args:
        surveys: annotations that were read.
        subset: counts that differ from the published ones are no fault.
        findings: takes what is wrong.
    """
    datasets: dict[str, dict] = {}
    for survey in surveys:
        datasets.setdefault(survey.name, {})[survey.split_by] = judge(survey, subset, findings)
        _look_for_shared_photos(survey, findings)
    _look_across(surveys, findings)
    return datasets


def judge(survey: Survey, subset: bool, findings: Findings) -> dict:
    """Counts of one, expected counts, differences and verdict; for arguments see :func:`verify`."""
    key = survey.name, survey.split_by
    known = KNOWN.get(key, {})
    total_of, totals = KNOWN_TOTALS.get(key, (frozenset(), ()))
    counts = {split: survey.splits[split].counts() for split in sorted(survey.splits, key=_split_order)}
    has_total = bool(totals) and set(counts) == total_of
    wrong = list(_wrong_splits(counts, known)) if known else []
    if has_total and (total := sum(c['sentences'] for c in counts.values())) not in totals:
        wrong.append(f'{total} sentences, published: {_either(totals)}')
    comparable = known or has_total
    verdict = 'not a published set' if not comparable else 'ok' if not wrong else 'subset' if subset else 'wrong'
    if verdict == 'wrong':
        twin = _twin(counts)
        hint = f' (these are the counts of {twin})' if twin else ''
        for text in wrong:
            findings.add('counts', f'{survey}, {text}{hint}')
    expected = {split: facts._asdict() for split, facts in known.items()}
    return {'verdict': verdict, 'splits': counts, 'expected': expected, 'differences': wrong}


def _split_order(split: str) -> tuple[int, str]:
    order = ('train', 'val', 'test', 'testA', 'testB')
    return (order.index(split) if split in order else len(order)), split


def _wrong_splits(counts: dict[str, dict[str, int]], known: dict[str, SplitFacts]) -> Iterator[str]:
    for split, facts in known.items():
        if split in counts:
            yield from (f'{split}: {text}' for text in _differences(counts[split], facts))
        else:
            yield f'no split {split}'
    yield from (f'a split {split}, which the published set lacks' for split in counts if split not in known)


def _differences(counts: dict[str, int], facts: SplitFacts) -> Iterator[str]:
    for what, right in (
        ('images', () if facts.images is None else (facts.images,)),
        ('objects', () if facts.objects is None else (facts.objects,)),
        ('sentences', facts.sentences),
    ):
        if right and counts[what] not in right:
            yield f'{counts[what]} {what}, published: {_either(right)}'


def _either(numbers: tuple[int, ...]) -> str:
    return ' or '.join(map(str, numbers))


def _twin(counts: dict[str, dict[str, int]]) -> str | None:
    """The published set that has these counts."""
    for (name, split_by), known in KNOWN.items():
        if not any(_wrong_splits(counts, known)):
            return f'{name} ({split_by})'
    return None


def _look_for_shared_photos(survey: Survey, findings: Findings) -> None:
    for split, other in survey.splits.items():
        shared = sorted(survey.train & other.images) if split != 'train' else []
        if shared and (survey.name, survey.split_by) in SHARED_PHOTOS:
            findings.notes.append(
                f'{survey}: {len(shared)} photos are in train and in {split}. So it was published: this split parts '
                'objects, not photos'
            )
        else:
            for name in shared:
                findings.add('shared photos', f'{survey}: {name} is in train and in {split}')


def _look_across(surveys: list[Survey], findings: Findings) -> None:
    for pair in combinations(surveys, 2):
        for a, b in (pair, pair[::-1]):
            held_out = {name for split, s in b.splits.items() if split != 'train' for name in s.images}
            if shared := len(a.train & held_out):
                findings.notes.append(
                    f'{shared} photos to train on in {a} are held out in {b}: '
                    'mind it when training on several data sets'
                )
