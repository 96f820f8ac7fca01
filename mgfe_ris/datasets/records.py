"""What every reader makes of annotation files: a record per object."""

import marshal
import re
import unicodedata
from typing import NamedTuple

from .masks import Part


class Sentence(NamedTuple):
    """A sentence as it was typed, and the same cleaned: lower case, without punctuation."""

    sent_id: int
    raw: str
    sent: str


class Record(NamedTuple):
    """An object of a photo and what is said of it."""

    split: str
    file_name: str
    """Of the photo, as it stands in the annotations: relative to the folder of photos, as a rule."""
    size: tuple[int, int]
    """(height, width) of the photo in pixels; (0, 0): the file does not say."""
    img_id: int
    ref_id: int
    mask: bytes
    """``parts``, packed: as lists of numbers, those of a large data set fill the memory."""
    sentences: list[Sentence]
    where: str = ''
    """Where it stands in the files, for errors."""
    photo: bytes | None = None
    """A file of the photo, where the annotations hold it; ``file_name`` is then its name in the index's folder."""

    @property
    def parts(self) -> list[Part]:
        """Of the mask, see :mod:`mgfe_ris.datasets.masks`; none: the sentences have no target."""
        return unpack_parts(self.mask)

    @property
    def photo_key(self) -> str:
        """Equal for records of one photo."""
        return self.file_name if self.photo is None else self.file_name[:16]


def pack_parts(parts: list[Part]) -> bytes:
    return marshal.dumps(parts)


def unpack_parts(mask: bytes) -> list[Part]:
    """Only of what :func:`pack_parts` made, never of a file."""
    return marshal.loads(mask)


def is_blank(text: str) -> bool:
    """Whether nothing of it is seen: white space, control letters, letters of no width."""
    return all(unicodedata.category(letter) in ('Cc', 'Cf', 'Zl', 'Zp', 'Zs') for letter in text)


def cleaned(raw: str) -> str:
    """As RefCOCO's ``sent`` is made of its ``raw``: lower case, without punctuation."""
    return ' '.join(re.sub(r'[^\w\s]', ' ', raw.lower()).split())
