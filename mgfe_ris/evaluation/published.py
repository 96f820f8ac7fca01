"""Results that others printed, with the protocol that makes them comparable: the ``published`` field of a config."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_METRIC = re.compile(r'oIoU|mIoU|P@0\.[5-9]|gIoU|cIoU|N-acc|T-acc')
_SPLIT = re.compile(r'val|test|testA|testB')


@dataclass(frozen=True)
class Protocol:
    """How the numbers of a table came about; numbers of two protocols belong in two tables.

    Raises:
        ValueError: a field that is neither of its values, or a size that is none.
    """

    score_at: str
    """``input``: masks are compared at the size of the network's input; ``photo``: at the photo's own."""
    size: int
    """Side of the input, pixels; the longer one where photos keep their shape."""
    training: str
    """``single``: on the data set that is tested; ``mixed``: on several, or with other annotations."""

    def __post_init__(self) -> None:
        for name, known in (('score_at', ('input', 'photo')), ('training', ('single', 'mixed'))):
            if getattr(self, name) not in known:
                raise ValueError(f'published.protocol.{name} must be one of {known}; got {getattr(self, name)!r}')
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(f'published.protocol.size must be pixels, 1 or more; got {self.size!r}')

    def __str__(self) -> str:
        place = f'{self.size} x {self.size}' if self.score_at == 'input' else "the photo's own size"
        return f'masks compared at {place}, trained on {"that set alone" if self.training == "single" else "several"}'


def read_published(field: Mapping[str, Any], data: str, split: str) -> tuple[dict[str, float], Protocol] | None:
    """The numbers of a data set and split, percent by metric, and their protocol; None: nobody printed any.

    Args:
        field: ``{'protocol': {'score_at': ..., 'size': ..., 'training': ...}, data: {split: {metric: percent}}}``.
            Metrics are named, since what papers call "IoU" is oIoU in some and mIoU in others.
        data: as in the names of our configs: ``refcoco``, ``gref-umd``, ...
        split: ``val``, ``testA``, ``testB`` or ``test``.

    Raises:
        ValueError: no protocol beside numbers; a field of it, a split or a metric that has no such name; no percent.
    """
    sets = {name: splits for name, splits in field.items() if name != 'protocol'}
    if not sets:
        return None
    protocol = read_protocol(field.get('protocol', {}))
    for name, splits in sets.items():
        check_numbers(name, splits)
    numbers = sets.get(data, {}).get(split)
    return (dict(numbers), protocol) if numbers else None


def read_protocol(field: Mapping[str, Any]) -> Protocol:
    """From its three fields.

    Raises:
        ValueError: one is missing, or has no such name, or no such value.
    """
    try:
        return Protocol(**field)
    except TypeError as error:
        raise ValueError(f'published.protocol needs score_at, size and training, and no more ({error})') from error


def check_numbers(data: str, splits: Mapping[str, Mapping[str, float]]) -> None:
    """Look through the numbers of a data set, ``{split: {metric: percent}}``.

    Raises:
        ValueError: a split or a metric that has no such name; no percent.
    """
    for of, numbers in splits.items():
        if not _SPLIT.fullmatch(of):
            raise ValueError(f'published.{data}: no split {of!r}; there are val, test, testA and testB')
        for metric, value in numbers.items():
            if not _METRIC.fullmatch(metric) or not 0 <= value <= 100:
                raise ValueError(
                    f'published.{data}.{of}: expected oIoU, mIoU, P@0.5, ... in percent; got {metric} {value}'
                )
