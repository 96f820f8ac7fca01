"""Records with all that is unusual, and an index of them."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mgfe_ris.datasets.index import SharedIndex, write_index
from mgfe_ris.datasets.readers import Record, Sentence, pack_parts

PARTS = [
    [[0, 0.5, 3.25, 1e-7, 2, 2]],
    [dict(size=[16, 6], counts=[90, 6]), [1, 2, 3, 4, 5, 6]],
    [],
    [dict(size=[9, 6], counts=b'\\1:')],
    [{'png': 'm/é.png'}],
]
NAMES = ['a.jpg', 'ordner/ü.png', 'a.jpg', 'b.jpg', 'a.jpg']


def records() -> list[Record]:
    return [
        Record(
            split='train',
            file_name=name,
            size=(4 + len(name), 6),
            img_id=2**62 + len(name),
            ref_id=-7 * i,
            mask=pack_parts(parts),
            where=f'row {i}',
            sentences=[Sentence(10 * i + s, f'Räw {i} {s}', f'clean {i} {s}') for s in range(i % 3 + 1)],
        )
        for i, (name, parts) in enumerate(zip(NAMES, PARTS, strict=True))
    ]


def write(items: Iterable[Record]) -> SharedIndex:
    """An index of its own."""
    folder = Path(tempfile.mkdtemp(dir=os.environ['MGFE_RIS_CACHE']))
    write_index(folder, Path('source'), items)
    return SharedIndex(folder, owner=True)
