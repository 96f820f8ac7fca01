"""Objects -> JSON lines, whole or not at all."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ...output_files import require_folder, whole_file
from ..masks import Part, check_parts, is_empty
from ..records import is_blank
from .objects import SHORT_OUTLINES, Object


class Summary(NamedTuple):
    """What was written, and what was not."""

    objects: int
    sentences: int
    photos: int
    skipped: Counter
    shared_sentences: int
    """Of objects of which another one in the same photo has the same sentence: it means neither."""


def write_lines(
    objects: Iterable[Object], out: str | Path, skipped: Counter, val_share: float | None = None, seed: int = 0
) -> Summary:
    """Write a line for each object, as :func:`mgfe_ris.datasets.readers.read_rows` reads them.

    Args:
        objects: of one of the readers, of which the last count stands in ``skipped``.
        out: a new file, ``.jsonl``; its folder is made.
        skipped: counts what is left out.
        val_share: of the photos, in (0, 1), whose lines say ``val``, the others' ``train``; None: lines say no split,
            the file's name does.
        seed: of the choice.

    Raises:
        FileExistsError: there is such a file.
        ValueError: another suffix, a file where its folder would be, a share out of range, a mask that cannot be of its
            photo, or nothing to write.
    """
    out = Path(out)
    if out.suffix != '.jsonl':
        raise ValueError(f'{out}: the file must be called .jsonl, as data sets look for it')
    if out.exists():
        raise FileExistsError(f'{out}: there is such a file; name another one, or remove it')
    require_folder('--out', out.parent)
    if val_share is not None and not 0 < val_share < 1:
        raise ValueError(f'--val-share must lie between 0 and 1; got {val_share}')
    kept = [checked for one in objects if (checked := _checked(one, skipped))]
    if not kept:
        raise ValueError(
            f'nothing to write to {out}: no object with a mask and a sentence. Left out: {counted(skipped)}. '
            '--sentence-from says where sentences are'
        )
    val = _val_photos(kept, val_share, seed)
    _write(out, [_row(one, val_share is not None, one.photo in val) for one in kept])
    said = Counter((one.photo, sentence.lower()) for one in kept for sentence in one.sentences)
    return Summary(
        objects=len(kept),
        sentences=sum(len(one.sentences) for one in kept),
        photos=len({one.photo for one in kept}),
        skipped=skipped,
        shared_sentences=sum(count for count in said.values() if count > 1),
    )


def counted(skipped: Counter) -> str:
    """In words."""
    return ', '.join(f'{count} {what}' for what, count in sorted(skipped.items())) or 'nothing'


def _checked(one: Object, skipped: Counter) -> Object | None:
    """Without what is no outline and says nothing; None: nothing is left."""
    parts: list[Part] = [part for part in one.parts if not isinstance(part, list) or len(part) >= 6]
    if len(parts) < len(one.parts):
        skipped[SHORT_OUTLINES] += len(one.parts) - len(parts)
    try:
        check_parts(parts, *one.size)
    except ValueError as error:
        raise ValueError(f'{one.where}: {error}') from error
    sentences = [text for text in one.sentences if not is_blank(text)]
    if not sentences:
        skipped['objects without a sentence'] += 1
    elif is_empty(parts, *one.size):
        skipped['objects without a pixel'] += 1
    else:
        return one._replace(parts=parts, sentences=sentences)
    return None


def _val_photos(kept: list[Object], val_share: float | None, seed: int) -> set[str]:
    """Whole photos: an object of a photo that was trained on is no test."""
    if val_share is None:
        return set()
    photos = sorted({one.photo for one in kept})
    number = round(val_share * len(photos))
    if not 0 < number < len(photos):
        raise ValueError(f'--val-share {val_share} of {len(photos)} photos leaves a split without any')
    return set(random.Random(seed).sample(photos, number))


def _row(one: Object, split: bool, val: bool) -> dict:
    height, width = one.size
    row = dict(image=one.photo, sentences=one.sentences, height=height, width=width)
    if split:
        row['split'] = 'val' if val else 'train'
    return row | dict(mask=one.parts[0] if len(one.parts) == 1 and isinstance(one.parts[0], dict) else one.parts)


def _write(out: Path, rows: list[dict]) -> None:
    with whole_file(out) as part, part.open('w', encoding='utf-8') as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + '\n' for row in rows)
