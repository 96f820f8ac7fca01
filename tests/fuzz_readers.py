"""Files that no program would write, to the readers: each is read, or refused by name; none hangs or runs anything.

python tests/fuzz_readers.py --cases 10000
"""

import argparse
import io
import json
import os
import pickle
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mgfe_ris.datasets.file_names import FileFinder
from mgfe_ris.datasets.index import SharedIndex, write_index
from mgfe_ris.datasets.masks import check_parts, decode_segmentation, is_empty
from mgfe_ris.datasets.readers import Record, read_refer, read_rows

SECONDS = 5  # of the process, for a single case; they take milliseconds
HEIGHT, WIDTH = 12, 9
HOSTILE_NAMES = [
    '../a.jpg',
    '/etc/passwd',
    '//etc/passwd',
    'a/../../b',
    '..\\a',
    'C:\\a',
    'a\0b',
    '',
    '.',
    './',
    'x' * 300,
]

_file = io.BytesIO()
Image.new('L', (WIDTH, HEIGHT)).save(_file, 'PNG')
PHOTO = _file.getvalue()

numbers = st.one_of(
    st.integers(-3, 15),
    st.integers(),
    st.floats(),
    st.sampled_from([2**31, 2**63, -(2**63), 10**400, 1e308, -1e9, float('nan'), float('inf'), True]),
)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=6) | st.sampled_from(HOSTILE_NAMES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def mostly(good: st.SearchStrategy, bad: st.SearchStrategy = junk) -> st.SearchStrategy:
    return st.integers(0, 40).flatmap(lambda n: bad if n == 13 else good)


def record(**fields: st.SearchStrategy) -> st.SearchStrategy:
    return mostly(st.fixed_dictionaries(fields), st.fixed_dictionaries({}, optional=fields) | junk)


inside = st.integers(-2, 14).flatmap(lambda n: st.sampled_from([n, n + 0.5]))
polygon = st.lists(inside, min_size=6, max_size=12).map(lambda p: p[: len(p) // 2 * 2])
counts = st.one_of(
    st.lists(st.integers(0, HEIGHT * WIDTH), max_size=6),
    st.lists(st.integers(0, 50), max_size=4).map(lambda c: [*c, max(0, HEIGHT * WIDTH - sum(c))]),
    st.lists(numbers, max_size=4),
    st.text(max_size=12),
    st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=12),
)
rle = st.fixed_dictionaries(
    {'counts': counts}, optional={'size': st.sampled_from([[HEIGHT, WIDTH]]) | st.lists(numbers, max_size=3) | junk}
)
png = st.sampled_from(['mask.png', 'broken.png', 'none.png', *HOSTILE_NAMES])
masks = st.one_of(
    polygon,
    st.lists(polygon, min_size=1, max_size=3),
    st.lists(polygon, max_size=3),
    st.lists(polygon | rle, max_size=3),
    st.lists(st.lists(numbers, max_size=9), max_size=3),
    rle,
    st.fixed_dictionaries({'png': png | junk}),
    junk,
)
names = mostly(st.sampled_from(['a.jpg', 'folder/b.jpg']), st.sampled_from(HOSTILE_NAMES) | st.text(max_size=5) | junk)
few = st.integers(0, 3)


sentence = record(sent_id=mostly(few), sent=mostly(st.text(max_size=5)), raw=mostly(st.text(max_size=5)))


def numbered(records: st.SearchStrategy) -> st.SearchStrategy:
    """Four of them, with the ids that refs point to."""
    rows = st.tuples(*[records] * 4)
    return rows.map(lambda four: [dict(r, id=i) if isinstance(r, dict) else r for i, r in enumerate(four)])


ref = record(
    ref_id=mostly(few),
    ann_id=mostly(few | st.lists(few, max_size=3) | st.just([-1])),
    image_id=mostly(few),
    split=mostly(st.just('train')),
    sentences=mostly(st.lists(sentence, max_size=3)),
    no_target=mostly(st.booleans()),
)
refs = st.lists(ref, max_size=4).map(
    lambda items: [dict(r, ref_id=i) if isinstance(r, dict) and i != 3 else r for i, r in enumerate(items)]
)
image = record(file_name=names, height=mostly(st.just(HEIGHT)), width=mostly(st.just(WIDTH)))
annotation = record(segmentation=masks)
instances = record(images=mostly(numbered(image)), annotations=mostly(numbered(annotation)))
row = record(
    image=names,
    sentences=mostly(st.lists(st.text(max_size=5) | sentence, max_size=3)),
    mask=masks | masks.map(json.dumps) | png,
    split=mostly(st.just('val')),
    height=mostly(st.just(HEIGHT)),
    width=mostly(st.just(WIDTH)),
    image_id=mostly(few),
    ref_id=mostly(few, st.text(max_size=3)),
    sent_ids=st.lists(few, max_size=3),
    mask_value=mostly(st.none(), numbers | junk),
    normalized=mostly(st.none(), st.booleans()),
    samples=mostly(
        st.none(), st.lists(st.fixed_dictionaries({'mask': masks, 'sentences': st.text(max_size=2)}) | junk)
    ),
    raw_image_info=mostly(st.none(), junk | junk.map(json.dumps)),
)
edit = st.tuples(st.integers(0, 10_000), st.binary(max_size=4), st.integers(0, 6))
edits = st.just([]) | st.lists(edit, max_size=3)
# opcodes of pickles at random, with what may follow them
bare = [bytes([b]) for b in b'(])}delasutN012.\x85\x86\x87\x88\x94cioRbPQ\x8f\x90\x91\x93']
sized = [bytes([b]) for b in b'KqhMJjrXUCTBG\x8a\x8b\x8c\x8d\x8e\x95\x96']
lines = [b'I1\n', b'L5L\n', b'F1e999\n', b"S'a'\n", b'Va\n', b'p0\n', b'g0\n', b'p99999999999\n']
lines += [b'cnumpy\ndtype\n', b'cnumpy._core.multiarray\nscalar\n', b'c_codecs\nencode\n', b'C\x02i8', b'X\2\0\0\0i8']
opcodes = st.lists(
    st.sampled_from(bare) | st.builds(bytes.__add__, st.sampled_from(sized), st.binary()) | st.sampled_from(lines),
    max_size=40,
).map(b''.join)


def edited(data: bytes, changes: list[tuple[int, bytes, int]]) -> bytes:
    """Some bytes in the place of others."""
    for at, new, old in changes:
        at %= len(data) + 1
        data = data[:at] + new + data[at + old :]
    return data


class Reading:
    """Reads everything in a folder as training would, and keeps count of the outcomes."""

    def __init__(self, folder: Path):
        self.folder = folder / 'root'
        self.folder.mkdir()
        self.finder = FileFinder(self.folder, self.folder / 'images', lambda: ['a.jpg'])
        self.outcomes: Counter[str] = Counter()
        (self.folder / 'images').mkdir()
        Image.fromarray(np.eye(HEIGHT, WIDTH, dtype=np.uint8)).save(self.folder / 'images/mask.png')
        (self.folder / 'images/broken.png').write_bytes(b'\x89PNG')

    def __call__(self, read: Callable[[], Any], *files: str) -> None:
        before = self._listing()
        start = time.process_time()
        try:
            records = list(read())
        except (ValueError, FileNotFoundError) as error:
            self.outcomes[f'refused: {type(error).__name__}'] += 1
            if not any(name in str(error) for name in files):
                raise AssertionError(f'no file is named by {error!r}') from error
            records = []
        self._use(records)
        seconds = time.process_time() - start
        if seconds > SECONDS:
            raise AssertionError(f'it took {seconds:.1f} s')
        if self._listing() != before:
            raise AssertionError(f'files came or went: {sorted(set(self._listing()) ^ set(before))}')

    def _use(self, records: list[Record]) -> None:
        for item in records:
            for part in item.parts:
                if isinstance(part, dict) and 'png' in part:
                    self._find(self.finder.mask, part['png'])
            if item.photo is None:
                self._find(self.finder.photo, item.file_name)
            elif '/' in item.file_name:
                raise AssertionError(f'{item.file_name!r} climbs out')
            try:
                check_parts(item.parts, HEIGHT, WIDTH)
            except ValueError:
                self.outcomes['mask refused'] += 1
                continue
            self._decode(item)
        if records:
            self.outcomes['read'] += 1
            self._write(records)

    def _find(self, find: Callable[[str], Path], name: str) -> None:
        try:
            path = os.path.normpath(str(find(name)).replace('\\', '/'))
        except ValueError:
            self.outcomes['name refused'] += 1
            return
        if not path.startswith(f'{self.folder}/'):
            raise AssertionError(f'{name!r} climbs out')

    def _write(self, records: list[Record]) -> None:
        with TemporaryDirectory() as folder:
            try:
                write_index(Path(folder), Path('source'), records)
            except ValueError:
                self.outcomes['index refused'] += 1
                return
            index = SharedIndex(Path(folder))
            for i, item in enumerate(records):
                name = index.photo_name(int(index.photo[i]))
                name = name if item.photo is None else name[:16]  # the rest is that of the first row
                told = int(index.ref_id[i]), name, repr(index.parts(i))
                empty = any(index.size(int(index.photo[i]))) and is_empty(item.parts, HEIGHT, WIDTH)
                if told != (item.ref_id, item.photo_key, repr([] if empty else item.parts)):
                    raise AssertionError(f'{told} is not {item}')

    def _decode(self, item: Record) -> None:
        parts = [
            dict(p, png=str(self.folder / 'images' / p['png'])) if isinstance(p, dict) and 'png' in p else p
            for p in item.parts
        ]
        try:
            mask = decode_segmentation(parts, HEIGHT, WIDTH)
        except (ValueError, FileNotFoundError):
            self.outcomes['PNG refused'] += 1
            if not any(isinstance(p, dict) and 'png' in p for p in parts):
                raise
            return
        self.outcomes['mask'] += 1
        if mask.shape != (HEIGHT, WIDTH) or mask.dtype != np.uint8 or mask.max(initial=0) > 1:
            raise AssertionError(f'{item}: a mask of {mask.shape}, {mask.dtype}, up to {mask.max()}')

    def _listing(self) -> list[str]:
        return sorted(str(p) for p in self.folder.parent.rglob('*'))


def cases(reading: Reading) -> dict[str, tuple[Callable, int]]:
    """Each kind of file: a test, and its share of the cases."""
    root = reading.folder
    # all files stand there from the start, so that a file more is a fault
    for name in ('refs(a).p', 'refs(b).json', 'instances.json', 'train.jsonl', 'val-00000-of-00001.parquet'):
        (root / name).write_bytes(b'')

    def folder_of(split_by: str, file: str) -> Callable[[bytes, Any], None]:
        def read(refs: bytes, about: Any) -> None:
            (root / file).write_bytes(refs)
            (root / 'instances.json').write_bytes(about if isinstance(about, bytes) else json.dumps(about).encode())
            reading(lambda: read_refer(root, split_by), str(root / file), str(root / 'instances.json'))

        return read

    read_pickle, read_json = folder_of('a', 'refs(a).p'), folder_of('b', 'refs(b).json')

    @given(mostly(refs), instances, edits, st.integers(0, 5), st.booleans(), st.booleans())
    def pickled(refs, about, changes, protocol, whole, of_numpy):
        if of_numpy and isinstance(refs, list):
            refs = [dict(r, image_id=np.int64(1), split=np.str_('val')) if isinstance(r, dict) else r for r in refs]
        data = pickle.dumps(refs, protocol)
        read_pickle(data if whole else edited(data, changes), about)

    @given(opcodes, st.booleans())
    def opcodes_at_random(data, ends):
        read_pickle(data + b'.' * ends, {'images': [], 'annotations': []})

    @given(mostly(refs), instances, edits, edits)
    def as_json(refs, about, changes, more_changes):
        data, about = json.dumps(refs).encode(), json.dumps(about).encode()
        read_json(edited(data, changes), edited(about, more_changes))

    @given(st.lists(row, max_size=3), edits)
    def rows(items, changes):
        path = root / 'train.jsonl'
        path.write_bytes(edited('\n'.join(map(json.dumps, items)).encode(), changes))
        reading(lambda: read_rows(path), str(path))

    @given(st.lists(st.fixed_dictionaries({
        'file_name': st.sampled_from(['a.jpg', *HOSTILE_NAMES]),
        'image': st.none() | st.sampled_from([PHOTO, b'', PHOTO[:30]]).map(lambda data: {'bytes': data}),
        'sentences': st.lists(st.text(max_size=4, alphabet='ab é'), max_size=2),
        'segmentation': st.lists(st.floats(), max_size=8) | st.none(),
    }), min_size=1, max_size=3), edits)  # fmt: skip
    def parquet(items, changes):
        import pyarrow
        import pyarrow.parquet

        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(items), buffer)
        path = root / 'val-00000-of-00001.parquet'
        path.write_bytes(edited(buffer.getvalue(), changes))
        reading(lambda: read_rows(path), str(path))

    return {
        'pickled refs': (pickled, 25),
        'opcodes': (opcodes_at_random, 20),
        'JSON refs': (as_json, 25),
        'rows': (rows, 25),
        'parquet': (parquet, 5),
    }


def fuzz(number: int, folder: Path, derandomize: bool = False) -> Counter[str]:
    """About ``number`` cases of all kinds; raises what a case raises, with the case."""
    reading = Reading(folder)
    for test, share in cases(reading).values():
        settings(
            max_examples=max(1, number * share // 100),
            deadline=None,
            database=None,
            derandomize=derandomize,
            suppress_health_check=list(HealthCheck),
        )(test)()
    return reading.outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--cases', type=int, default=10_000)
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(args.cases, Path(folder))
    print(*(f'{count:6}  {what}' for what, count in sorted(outcomes.items())), sep='\n')
    print(f'{args.cases} cases in {time.perf_counter() - start:.0f} s', file=sys.stderr)


if __name__ == '__main__':
    main()
