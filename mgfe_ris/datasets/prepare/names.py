"""A file of a source, and what the names of files and folders tell."""

import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import NamedTuple

REFS = re.compile(r'g?refs\((\w+)\)\.(?:p|json)')

_COCO_PHOTO = re.compile(r'(?:COCO_(?:train|val|test)\d{4}_)?(\d{12})\.jpe?g', re.IGNORECASE)
_KINDS = {'.jpg': 'photo', '.jpeg': 'photo', '.zip': 'zip'}
_ALIASES = {
    'refcoco': 'refcoco',
    'refcoco+': 'refcoco+',
    'refcocoplus': 'refcoco+',
    'refcocop': 'refcoco+',
    'refcocog': 'refcocog',
    'gref': 'refcocog',
    'refclef': 'refclef',
    'referit': 'refclef',
    'referitgame': 'refclef',
    'grefcoco': 'grefcoco',
}


class Found(NamedTuple):
    """A file of a source."""

    path: Path
    """On disk: the file, or the zip that it is a member of."""
    member: zipfile.ZipInfo | None
    names: tuple[str, ...]
    """Of the folders and zips that it lies in, from the source on, and its own."""

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f'{self.path}, {self.member.filename}'

    @property
    def name(self) -> str:
        return self.names[-1]

    @property
    def kind(self) -> str:
        return kind(self.name)


def kind(name: str) -> str:
    """annotations, photo, zip; or nothing, for what is of no use."""
    if REFS.fullmatch(name) or name == 'instances.json':
        return 'annotations'
    return _KINDS.get(PurePosixPath(name).suffix.lower(), '')


def is_junk(name: str) -> bool:
    return name.startswith('.') or name == '__MACOSX'


def alias(name: str) -> str | None:
    """refcoco+ (1).zip, refcoco_plus -> refcoco+"""
    plain = re.sub(r'(\.zip)?[ _-]*(\(\d+\))?$', '', name.lower().removesuffix('.zip'))
    return _ALIASES.get(re.sub(r'[ _-]', '', plain))


def photo_key(name: str) -> str:
    """The same for COCO_train2014_000000000009.jpg and 000000000009.jpg."""
    base = PurePosixPath(name).name
    coco = _COCO_PHOTO.fullmatch(base)
    return coco[1] if coco else base
