"""Annotations of the layout, read: what is counted of them, and the photos that they need."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ..masks import check_parts
from ..readers import read_refer
from .findings import Findings
from .names import REFS, is_junk, photo_key


class Split(NamedTuple):
    """What is counted of a split."""

    images: set[str]
    objects: list[int]
    """Ids of refs."""
    sentences: list[int]

    def counts(self) -> dict[str, int]:
        return {'images': len(self.images), 'objects': len(self.objects), 'sentences': len(self.sentences)}


class Survey(NamedTuple):
    """Annotations that were read."""

    name: str
    split_by: str
    splits: dict[str, Split]
    photos: dict[str, tuple[int, int]]
    """(height, width) of each, as annotated."""

    def __str__(self) -> str:
        return f'{self.name} ({self.split_by})'

    @property
    def train(self) -> set[str]:
        """Photos to train on."""
        return self.splits['train'].images if 'train' in self.splits else set()


def read_all(out: Path, findings: Findings) -> Iterator[Survey]:
    """Of every folder of a data set; what cannot be read, and masks that are wrong, go to ``findings``."""
    for folder in sorted(path for path in out.iterdir() if path.is_dir() and not is_junk(path.name)):
        who = {match[1] for path in folder.iterdir() if (match := REFS.fullmatch(path.name))}
        for split_by in sorted(who):
            try:
                yield _read(folder, split_by, findings)
            except (ValueError, OSError) as error:
                findings.add('annotations', str(error))


def _read(folder: Path, split_by: str, findings: Findings) -> Survey:
    survey = Survey(folder.name, split_by, {}, {})
    for record in read_refer(folder, split_by):
        split = survey.splits.setdefault(record.split, Split(set(), [], []))
        split.images.add(str(PurePosixPath(record.file_name).with_name(photo_key(record.file_name))))
        split.objects.append(record.ref_id)
        split.sentences.extend(sentence.sent_id for sentence in record.sentences)
        survey.photos[record.file_name] = record.size
        try:
            parts = record.parts
            check_parts(parts, *record.size)
            if not parts and survey.name != 'grefcoco':
                raise ValueError('none')
        except ValueError as error:
            findings.add('masks', f'{survey}, ref_id {record.ref_id}: {error}')
    return survey
