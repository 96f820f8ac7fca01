"""Records as columns in files: all of them come back, in any process, and the files go with their owner."""

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import mgfe_ris.datasets.index as index_module
from mgfe_ris.datasets.index import Samples, SharedIndex, open_index
from mgfe_ris.datasets.readers import Record, Sentence, pack_parts

REPO = Path(__file__).parents[2]
# Without the package's __init__, which imports torch
LIGHT = f"""
import sys, time, types
for name in ('mgfe_ris', 'mgfe_ris.datasets'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(REPO)!r} + '/' + name.replace('.', '/')]
from pathlib import Path
from mgfe_ris.datasets.index import open_index
from mgfe_ris.datasets.readers import read_refer, refer_files
"""
LOAD = """
start, cpu = time.perf_counter(), time.process_time()
folder = Path(sys.argv[1])
index = open_index(folder, refer_files(folder, 'unc'), lambda: read_refer(folder, 'unc'), lambda name: (0, 0))
cpu, wall = time.process_time() - cpu, time.perf_counter() - start
peak = next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(cpu, wall, peak, len(index), len(index.sent_id), len(index.name_end))
print(index.folder)
"""


def run(script: str, *arguments: object, cache: Path | None = None) -> list[str]:
    command = [sys.executable, '-c', LIGHT + script, *map(str, arguments)]
    env = {**os.environ, **({'MGFE_RIS_CACHE': str(cache)} if cache else {})}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


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
            sentences=[Sentence(10 * i + s, f'Räw {i} {s}', f'clean {i} {s}') for s in range(i % 3 + 1)],
        )
        for i, (name, parts) in enumerate(zip(NAMES, PARTS, strict=True))
    ]


def expected(key: str = 'raw') -> list[dict]:
    return [
        dict(
            img_name=r.file_name, img_id=r.img_id, ref_id=r.ref_id, height=r.size[0], width=r.size[1],
            segmentation=r.parts, sentences=[getattr(s, key) for s in r.sentences],
            sent_ids=[s.sent_id for s in r.sentences],
        )
        for r in records()
    ]  # fmt: skip


def no_size(name: str) -> tuple[int, int]:
    raise AssertionError(f'the size of {name} is known')


def write(items: Iterable[Record], folder: Path | None = None) -> SharedIndex:
    """An index of its own."""
    if folder is None:
        folder = Path(tempfile.mkdtemp(dir=os.environ['MGFE_RIS_CACHE']))
    index_module.write_index(folder, Path('source'), items, no_size)
    return SharedIndex(folder, owner=True)


def objects(index: SharedIndex, key: str = 'raw') -> Samples:
    return Samples(index, np.array([(i, i, -1) for i in range(len(index))]), key)


@pytest.mark.parametrize('key', ['raw', 'sent'])
def test_all_that_was_written_comes_back(key):
    index = write(iter(records()))
    samples = objects(index, key)
    assert list(samples) == expected(key) and len(samples) == len(index) == 5
    assert samples[1:4] == expected(key)[1:4] and samples[-1] == expected(key)[-1]
    assert [len(index.sentences(i, key)) for i in range(5)] == [1, 2, 3, 1, 2]
    assert [index.photo_name(i) for i in range(3)] == ['a.jpg', 'ordner/ü.png', 'b.jpg']
    assert index.photo.tolist() == [0, 1, 0, 2, 0]
    assert [index.size(i) for i in range(3)] == [(9, 6), (16, 6), (9, 6)]
    assert index.without_mask().tolist() == [False, False, True, False, False] and index.pngs == [4]


def test_splits():
    index = write(r._replace(split=name) for r, name in zip(records(), 'abacb', strict=True))
    assert index.splits == ['a', 'b', 'c'] and index.split.tolist() == [0, 1, 0, 2, 1]


def test_one_sentence_and_that_of_another_object():
    samples = Samples(write(records()), np.array([(2, 2, 4), (0, 2, -1), (0, 1, 1)]), 'sent')
    assert [(s['ref_id'], s['sentences'], s['sent_ids']) for s in samples] == [
        (-14, ['clean 2 1'], [21]),
        (0, ['clean 2 0', 'clean 2 1', 'clean 2 2'], [20, 21, 22]),
        (0, ['clean 1 0'], [10]),
    ]
    assert samples[1]['img_name'] == 'a.jpg' and samples[1]['segmentation'] == PARTS[0]


@pytest.mark.parametrize('i', [5, 100])
def test_behind_the_end(i):
    with pytest.raises(IndexError):
        objects(write(records()))[i]


def test_text_that_no_file_takes_is_replaced():
    record = records()[0]._replace(sentences=[Sentence(1, 'a\ud800b\0', '')])
    assert objects(write([record]))[0]['sentences'] == ['a?b\0']


def test_empty_sentences_are_passed_over():
    said = [Sentence(1, ' ', ''), Sentence(2, '!', ''), Sentence(3, ' a', 'a')]
    index = write([r._replace(sentences=said) for r in records()])
    assert [index.sentences(i, 'raw') for i in (0, 1)] == [[1, 2], [4, 5]]
    assert [index.sentences(i, 'sent') for i in (0, 1)] == [[2], [5]]
    assert objects(index, 'sent')[1]['sent_ids'] == [3] and objects(index)[1]['sentences'] == ['!', ' a']


def test_no_record_at_all():
    assert len(write([])) == 0


def test_it_pickles_small_and_cannot_be_written():
    samples = objects(write([r._replace(ref_id=i) for i in range(400) for r in records()]))
    data = pickle.dumps(samples)
    assert len(data) < 400
    assert list(pickle.loads(data)) == list(samples)
    with pytest.raises(ValueError, match='read-only'):
        samples.shared.ref_id[0] = 1


def test_a_mask_that_cannot_be_of_its_photo():
    wrong = records()[1]._replace(mask=pack_parts([[1, 2, 3]]))
    with pytest.raises(ValueError, match='source: the mask of ref_id -7: a polygon needs'):
        write([records()[0], wrong])


def test_two_sizes_of_one_photo():
    with pytest.raises(ValueError, match=r'source: ref_id -14 says that a.jpg is \(9, 7\), another row says \(9, 6\)'):
        write([*records()[:2], records()[2]._replace(size=(9, 7))])


@pytest.mark.parametrize(
    ('parts', 'empty'),
    [
        ([dict(size=[9, 6], counts=[54])], True),
        ([dict(size=[9, 6], counts=[54, 0]), dict(size=[9, 6], counts=b'f1')], True),
        ([dict(size=[9, 6], counts=[54]), [0, 0, 3, 0, 3, 3]], False),
        ([dict(size=[9, 6], counts=[53, 1])], False),
        ([{'png': 'a.png'}], False),
        ([], True),
    ],
)
def test_a_mask_without_a_pixel_is_none(parts, empty):
    index = write([records()[0]._replace(mask=pack_parts(parts))])
    assert index.without_mask().tolist() == [empty] and index.parts(0) == ([] if empty else parts)


# What is kept


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / 'kept'
    monkeypatch.setenv('MGFE_RIS_CACHE', str(folder))
    return folder


@pytest.fixture
def file(tmp_path) -> Path:
    (tmp_path / 'a.jsonl').write_text('one')
    return tmp_path / 'a.jsonl'


class Reader:
    """Counts how often it is asked."""

    def __init__(self, items: Iterable[Record] | None = None):
        self.items, self.times = list(items or records()), 0

    def __call__(self) -> Iterable[Record]:
        self.times += 1
        return iter(self.items)


def test_a_file_is_read_once(kept, file):
    read = Reader()
    first = open_index(file, [file], read, no_size)
    folder = first.folder
    assert folder.parent == kept and list(objects(first)) == expected()
    del first
    assert list(objects(open_index(file, [file], read, no_size))) == expected()
    assert read.times == 1 and list(kept.iterdir()) == [folder]


def test_a_changed_file_is_read_again(kept, file):
    read = Reader()
    open_index(file, [file], read, no_size)
    times = file.stat()
    file.write_text('two')  # as long as before
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    read.items = read.items[:2]
    assert len(open_index(file, [file], read, no_size)) == 2 and read.times == 2


@pytest.mark.parametrize('names', [('a', 'bc'), ('ab', 'c'), ('b', 'a'), ('a', 'b')])
def test_files_and_their_order_are_told_apart(names, kept, tmp_path):
    keys = set()
    for contents in (('x', 'yz'), ('xy', 'z'), ('', 'xyz')):
        for name, text in zip(names, contents, strict=True):
            (tmp_path / name).write_text(text)
        keys.add(index_module._key([tmp_path / name for name in names]))
    assert len(keys) == 3


@pytest.mark.parametrize('how', ['removed', 'no JSON'])
def test_a_kept_index_that_was_damaged_is_made_anew(how, kept, file):
    read = Reader()
    folder = open_index(file, [file], read, no_size).folder
    if how == 'removed':
        (folder / 'ref_id').unlink()
    else:
        (folder / 'index.json').write_text('{')
    assert list(objects(open_index(file, [file], read, no_size))) == expected() and read.times == 2
    assert list(objects(open_index(file, [file], read, no_size))) == expected() and read.times == 2


def test_sizes_that_the_photos_say_are_not_kept(kept, file):
    """The photos may change and the file stay."""
    read = Reader(r._replace(size=(0, 0)) for r in records())
    asked = []
    index = open_index(file, [file], read, lambda name: asked.append(name) or (16 if 'ü' in name else 9, 6))
    assert asked == ['a.jpg', 'ordner/ü.png', 'b.jpg'] and index.size(1) == (16, 6)
    del index
    assert not list(kept.iterdir())


def test_an_error_while_reading_leaves_no_files(kept, file):
    def broken():
        yield records()[0]
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        open_index(file, [file], broken, no_size)
    assert not list(kept.iterdir())


def test_where_nothing_can_be_kept(tmp_path, file, monkeypatch):
    monkeypatch.setenv('MGFE_RIS_CACHE', str(file / 'in a file'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    index = open_index(file, [file], Reader(), no_size)
    assert index.folder.parent == tmp_path and list(objects(index)) == expected()
    folder = index.folder
    del index
    assert not folder.exists()


def test_the_default_place(tmp_path, monkeypatch):
    monkeypatch.delenv('MGFE_RIS_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert index_module._cache() == tmp_path / 'xdg/mgfe_ris'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert index_module._cache() == tmp_path / '.cache/mgfe_ris'


def test_what_nobody_used_for_long_goes(kept, file, tmp_path):
    folder = open_index(file, [file], Reader(), no_size).folder
    old = kept / 'new-killed'
    old.mkdir()
    for path in (folder, old):
        os.utime(path, (time.time() - 61 * 86400,) * 2)
    open_index(file, [file], Reader(), no_size)  # used: it stays
    other = tmp_path / 'b.jsonl'
    other.write_text('b')
    open_index(other, [other], Reader(), no_size)
    assert folder.is_dir() and not old.exists()


def open_at_once(file: Path, barrier, queue) -> None:
    barrier.wait(60)
    queue.put(list(objects(open_index(file, [file], records, no_size))))


def test_several_processes_that_read_it_for_the_first_time(kept, file):
    context = multiprocessing.get_context('fork')
    queue, barrier = context.Queue(), context.Barrier(4)
    workers = [context.Process(target=open_at_once, args=(file, barrier, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    told = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert told == [expected()] * 4 and [w.exitcode for w in workers] == [0] * 4
    assert len(list(kept.iterdir())) == 1


# Processes


def read_all(samples: Samples, queue, i: int) -> None:
    queue.put((i, list(samples)))


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_share_it(method):
    samples = objects(write(records()))
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    number = 2 if method == 'fork' else 1  # a new process imports everything
    workers = [context.Process(target=read_all, args=(samples, queue, i)) for i in range(number)]
    for worker in workers:
        worker.start()
    told = dict(queue.get(timeout=100) for _ in workers)
    for worker in workers:
        worker.join(100)
    assert told == dict.fromkeys(range(number), expected())
    assert samples.shared.folder.is_dir() and list(samples) == expected(), "a worker's end is not the owner's"


def drop(index: list[SharedIndex]) -> None:
    index.clear()  # the finalizer runs here, in the copy


def test_the_copy_of_a_forked_worker_goes_and_the_files_stay():
    held = [write(records())]
    worker = multiprocessing.get_context('fork').Process(target=drop, args=(held,))
    worker.start()
    worker.join(100)
    assert worker.exitcode == 0 and len(list(held[0].folder.iterdir())) == 17


def test_the_files_go_with_the_owner_and_with_no_copy():
    index = write(records())
    folder = index.folder
    unpickled, deep = pickle.loads(pickle.dumps(index)), copy.deepcopy(index)
    del unpickled
    assert folder.is_dir()
    del index
    assert folder.is_dir() and objects(deep)[0] == expected()[0], 'a deep copy in the same process keeps them'
    del deep
    assert not folder.exists()


# RefCOCO's size

OBJECTS, SENTENCES, PHOTOS = 50_000, 142_209, 19_994


@pytest.fixture(scope='module')
def large(coco_ref, tmp_path_factory) -> Path:
    """The real annotations again and again, up to RefCOCO's size."""
    instances = json.loads((coco_ref / 'refcoco/instances.json').read_text())
    with (coco_ref / 'refcoco/refs(unc).p').open('rb') as file:
        sentences = [s for r in pickle.load(file) for s in r['sentences']]
    of_image: dict[int, list[dict]] = {image['id']: [] for image in instances['images']}
    for ann in instances['annotations']:
        of_image[ann['image_id']].append(ann)
    photos = [(image, of_image[image['id']]) for image in instances['images'] if len(of_image[image['id']]) >= 3]
    images, annotations, refs, said = [], [], [], 0
    for photo in range(PHOTOS):
        image, masks = photos[photo % len(photos)]
        images.append(dict(image, id=photo, file_name=f'{photo:012d}.jpg'))
        annotations += [dict(ann, id=len(annotations) + i, image_id=photo) for i, ann in enumerate(masks)]
        # two or three objects, of two or three sentences each
        for i in range(round((photo + 1) * OBJECTS / PHOTOS) - len(refs)):
            until = round((len(refs) + 1) * SENTENCES / OBJECTS)
            ids = list(range(said, until))
            told = [dict(sentences[s % len(sentences)], sent_id=s) for s in ids]
            ann_id = annotations[-len(masks) + i]['id']
            ref = dict(ref_id=len(refs), ann_id=ann_id, image_id=photo, split='train' if photo % 9 else 'val')
            refs.append(dict(ref, sentences=told, sent_ids=ids, category_id=1, file_name=f'{photo:012d}_{ann_id}.jpg'))
            said = until
    folder = tmp_path_factory.mktemp('large')
    (folder / 'instances.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    # not as they stand here, where they share their strings and lists
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(json.loads(json.dumps(refs)), 2))
    return folder


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('place')


def test_time_and_memory_at_the_size_of_refcoco(large, place):
    """The aim is 3 s and 300 MB on an idle machine; the bound of time leaves room for a busy one."""
    cpu, wall, megabytes, *sizes = map(float, run(LOAD, large, cache=place)[:-1])
    print(f'first: {cpu:.2f} s of CPU, {wall:.2f} s, {megabytes:.0f} MB')
    assert sizes == [OBJECTS, SENTENCES, PHOTOS]
    assert cpu < 10 and megabytes < 320
    cpu, wall, megabytes, *sizes = map(float, run(LOAD, large, cache=place)[:-1])
    print(f'again: {cpu:.2f} s of CPU, {wall:.2f} s, {megabytes:.0f} MB')
    assert sizes == [OBJECTS, SENTENCES, PHOTOS]
    assert cpu < 1 and megabytes < 100


def test_what_was_loaded_at_that_size(large, place):
    instances = json.loads((large / 'instances.json').read_text())
    masks = [a['segmentation'] for a in instances['annotations']]
    refs = pickle.loads((large / 'refs(unc).p').read_bytes())
    samples = objects(SharedIndex(Path(run(LOAD, large, cache=place)[-1])), 'sent')
    assert len(pickle.dumps(samples)) < 400
    for i in (*range(0, OBJECTS, 997), OBJECTS - 1):
        ref, mask = refs[i], masks[refs[i]['ann_id']]
        assert samples[i]['segmentation'] == (mask if isinstance(mask, list) else [mask])
        assert samples[i]['sentences'] == [s['sent'] for s in ref['sentences']]
        assert samples[i]['sent_ids'] == ref['sent_ids']
        assert samples[i]['img_name'] == instances['images'][ref['image_id']]['file_name']
