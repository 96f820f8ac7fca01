"""Annotation files are read once, whoever asks, and what is kept is never of other files."""

import json
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
from slow import slow
from some_records import records

import mgfe_ris.datasets.cache as cache
from mgfe_ris.datasets.cache import open_index
from mgfe_ris.datasets.index import SharedIndex, write_index
from mgfe_ris.datasets.readers import Record
from mgfe_ris.datasets.rows import read_rows

REPO = Path(__file__).parents[2]
IDS = [r.ref_id for r in records()]


@pytest.fixture
def kept(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv('MGFE_RIS_CACHE', str(tmp_path / 'kept'))
    return tmp_path / 'kept/indexes'


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
    first = open_index(file, [file], read)
    folder = first.folder
    assert folder.parent == kept and first.ref_id.tolist() == IDS
    del first
    assert open_index(file, [file], read).ref_id.tolist() == IDS
    assert read.times == 1 and list(kept.iterdir()) == [folder]


def test_a_changed_file_is_read_again(kept, file):
    read = Reader()
    open_index(file, [file], read)
    times = file.stat()
    file.write_text('two')  # as long as before
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    read.items = read.items[:2]
    assert len(open_index(file, [file], read)) == 2 and read.times == 2


def test_a_file_that_changes_while_it_is_read_is_not_kept(kept, file):
    def read():
        file.write_text('two')
        yield from records()

    index = open_index(file, [file], read)
    assert index.ref_id.tolist() == IDS
    del index
    assert not list(kept.iterdir())
    assert len(open_index(file, [file], Reader(records()[:1]))) == 1


@pytest.mark.parametrize('names', [('a', 'bc'), ('ab', 'c'), ('b', 'a'), ('a', 'b')])
def test_files_and_their_order_are_told_apart(names, tmp_path):
    keys = set()
    for contents in (('x', 'yz'), ('xy', 'z'), ('', 'xyz')):
        for name, text in zip(names, contents, strict=True):
            (tmp_path / name).write_text(text)
        keys.add(cache._key([tmp_path / name for name in names]))
    assert len(keys) == 3


def damage(folder: Path, how: str) -> None:
    if how == 'removed':
        (folder / 'ref_id').unlink()
    elif how == 'cut':
        (folder / 'sent').write_bytes(b'')
    else:
        (folder / 'index.json').write_text(how)


@pytest.mark.parametrize('how', ['removed', 'cut', '{', '[]'])
def test_a_kept_index_that_was_damaged_is_made_anew(how, kept, file):
    read = Reader()
    damage(open_index(file, [file], read).folder, how)
    for _ in range(2):
        assert open_index(file, [file], read).text(0, 'sent') == 'clean 0 0'
        assert read.times == 2


def test_an_error_while_reading_leaves_no_files(kept, file):
    def broken():
        yield records()[0]
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        open_index(file, [file], broken)
    assert not list(kept.iterdir())


def test_a_missing_file_is_named(kept, file):
    with pytest.raises(FileNotFoundError, match=r'gone\.jsonl'):
        open_index(file, [file], lambda: iter((file.parent / 'gone.jsonl').read_text()))


def in_a_file(file: Path, monkeypatch) -> None:
    monkeypatch.setenv('MGFE_RIS_CACHE', str(file / 'in a file'))


def full(file: Path, monkeypatch) -> None:
    real = cache.write_index

    def write_index(folder: Path, *args) -> None:
        if 'kept' in folder.parts:
            raise OSError(28, 'No space left on device')
        real(folder, *args)

    monkeypatch.setattr(cache, 'write_index', write_index)


def of_another_user(file: Path, monkeypatch) -> None:
    place = cache.cache_folder() / cache._key([file])
    place.mkdir(parents=True)

    def refused(*args) -> None:
        raise PermissionError(13, 'Permission denied')

    real = cache.SharedIndex

    def shared_index(folder: Path, **kwargs) -> SharedIndex:
        return refused() if folder == place else real(folder, **kwargs)

    monkeypatch.setattr(cache, 'SharedIndex', shared_index)
    monkeypatch.setattr(cache.shutil, 'rmtree', refused)


@pytest.mark.parametrize('obstacle', [in_a_file, full, of_another_user])
def test_where_nothing_can_be_kept(obstacle, kept, tmp_path, file, monkeypatch):
    obstacle(file, monkeypatch)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    index = open_index(file, [file], Reader())
    folder = index.folder
    assert folder.parent == tmp_path and index.ref_id.tolist() == IDS
    monkeypatch.undo()
    del index
    assert not folder.exists()


def test_a_kept_index_that_cannot_be_touched_is_used(kept, file, monkeypatch):
    read = Reader()
    open_index(file, [file], read)

    def refused(*args) -> None:
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(cache.os, 'utime', refused)
    assert open_index(file, [file], read).folder.parent == kept and read.times == 1


def test_the_place(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setenv('MGFE_RIS_CACHE', '~/here')
    assert cache.cache_folder() == tmp_path / 'here/indexes'
    monkeypatch.delenv('MGFE_RIS_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert cache.cache_folder() == tmp_path / 'xdg/mgfe_ris/indexes'
    monkeypatch.delenv('XDG_CACHE_HOME')
    assert cache.cache_folder() == tmp_path / '.cache/mgfe_ris/indexes'


def test_what_nobody_used_for_long_goes_and_nothing_of_others(kept, file, tmp_path):
    folder = open_index(file, [file], Reader()).folder
    ages = {kept / 'mgfe_ris_killed': 2, kept / 'mgfe_ris_new': 0, kept / 'photos': 900, kept / ('0' * 32): 61}
    for path, days in {folder: 61, **ages}.items():
        path.mkdir(exist_ok=True)
        os.utime(path, (time.time() - days * 86400,) * 2)
    (tmp_path / 'b.jsonl').write_text('b')
    open_index(file, [file], Reader())  # used: it stays
    other = open_index(file, [tmp_path / 'b.jsonl'], Reader()).folder
    assert sorted(kept.iterdir()) == sorted([folder, other, kept / 'mgfe_ris_new', kept / 'photos'])


def open_at_once(file: Path, barrier, queue) -> None:
    barrier.wait(60)
    queue.put(open_index(file, [file], records).ref_id.tolist())


@pytest.mark.parametrize('damaged', [False, True])
def test_several_processes_at_once(damaged, kept, file):
    if damaged:
        damage(open_index(file, [file], records).folder, 'cut')
    context = multiprocessing.get_context('fork')
    queue, barrier = context.Queue(), context.Barrier(4)
    workers = [context.Process(target=open_at_once, args=(file, barrier, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    told = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(60)
    assert told == [IDS] * 4 and [w.exitcode for w in workers] == [0] * 4
    assert len(list(kept.iterdir())) == 1


# RefCOCO's size

OBJECTS, SENTENCES, PHOTOS = 50_000, 142_209, 19_994
# Without the package's __init__, which imports torch
LOAD = f"""
import sys, time, types
for name in ('mgfe_ris', 'mgfe_ris.datasets'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(REPO)!r} + '/' + name.replace('.', '/')]
from pathlib import Path
from types import SimpleNamespace
from mgfe_ris.datasets.cache import open_index
from mgfe_ris.datasets.readers import read_refer, refer_files
from mgfe_ris.datasets.selection import Samples, Selection
start, cpu = time.perf_counter(), time.process_time()
folder = Path(sys.argv[1])
index = open_index(folder, refer_files(folder, 'unc'), lambda: read_refer(folder, 'unc'))
samples = Samples(index, Selection('train', 'raw', per_sentence=True))
cpu, wall = time.process_time() - cpu, time.perf_counter() - start
peak = next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(cpu, wall, peak, len(index), len(index.sent_id), len(index.name_end))
print(index.folder)
"""


def load(folder: Path, place: Path) -> list[str]:
    env = {**os.environ, 'MGFE_RIS_CACHE': str(place)}
    command = [sys.executable, '-c', LOAD, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope='module')
def large(tmp_path_factory) -> Path:
    """As many objects, sentences and photos as RefCOCO has, four and a half times the annotations, and polygons as long
    as COCO's."""
    chance = random.Random(0)
    outlines = [[chance.randrange(4, 4600) / 10 for _ in range(2 * chance.choice((9, 20, 45, 90)))] for _ in range(99)]
    words = ['left', 'man', 'in', 'the', 'blue', 'shirt', 'giraffe', 'second', 'from', 'right']
    images, annotations, refs, said = [], [], [], 0
    for photo in range(PHOTOS):
        images.append(dict(id=photo, file_name=f'{photo:012d}.jpg', height=480, width=640, license=3))
        for _ in range(chance.randrange(5, 18)):
            annotations.append(
                dict(id=len(annotations), image_id=photo, segmentation=[chance.choice(outlines)], area=8.5, iscrowd=0)
            )
        # two or three objects, of two or three sentences each
        for i in range(round((photo + 1) * OBJECTS / PHOTOS) - len(refs)):
            until = round((len(refs) + 1) * SENTENCES / OBJECTS)
            told = [dict(sent_id=s, tokens=words[:4], raw=' '.join(words[s % 6 :])) for s in range(said, until)]
            ann_id, split = annotations[-1 - i]['id'], 'train' if photo % 9 else 'val'
            ref = dict(ref_id=len(refs), ann_id=ann_id, image_id=photo, split=split, category_id=1)
            refs.append(dict(ref, sentences=[dict(s, sent=s['raw']) for s in told], file_name=f'{photo}_{ann_id}.jpg'))
            said = until
    folder = tmp_path_factory.mktemp('large')
    (folder / 'instances.json').write_text(json.dumps(dict(images=images, annotations=annotations)))
    # not as they stand here, where they share their strings and lists
    (folder / 'refs(unc).p').write_bytes(pickle.dumps(json.loads(json.dumps(refs)), 2))
    return folder


@pytest.fixture(scope='module')
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('place')


@slow('half a minute')
def test_time_and_memory_at_the_size_of_refcoco(large, place):
    """Asked: 3 s and 300 MB on an idle machine. Bounds are of what Python's own reader of the same file takes."""
    begin = time.process_time()
    json.loads((large / 'instances.json').read_bytes())
    plain = time.process_time() - begin
    for time_of, most_times, most_megabytes in (('first', 12, 320), ('again', 0.8, 100)):
        cpu, wall, megabytes, *sizes = map(float, load(large, place)[:-1])
        print(f'{time_of}: {cpu:.2f} s of CPU, {cpu / plain:.2f} times json.loads, {wall:.2f} s, {megabytes:.0f} MB')
        assert sizes == [OBJECTS, SENTENCES, PHOTOS]
        assert cpu < most_times * plain and megabytes < most_megabytes


@slow('half a minute')
def test_what_was_loaded_at_that_size(large, place):
    instances = json.loads((large / 'instances.json').read_text())
    masks = [a['segmentation'] for a in instances['annotations']]
    refs = pickle.loads((large / 'refs(unc).p').read_bytes())
    index = SharedIndex(Path(load(large, place)[-1]))
    for i in (*range(0, OBJECTS, 997), OBJECTS - 1):
        ref = refs[i]
        assert index.parts(i) == masks[ref['ann_id']] and index.splits[index.split[i]] == ref['split']
        told = [(index.sent_id[s], index.text(s, 'sent')) for s in index.sentences(i, 'sent')]
        assert told == [(s['sent_id'], s['sent']) for s in ref['sentences']]
        assert index.photo_name(index.photo[i]) == instances['images'][ref['image_id']]['file_name']


def test_a_user_without_a_home(file, monkeypatch):
    """As in containers: the index lies in a temporary folder, and goes with it."""

    def no_home(self):
        raise RuntimeError('Could not determine home directory.')

    monkeypatch.setattr(Path, 'expanduser', no_home)
    index = open_index(file, [file], Reader())
    folder = index.folder
    assert index.ref_id.tolist() == IDS and folder.is_dir()
    del index
    assert not folder.exists()


# Shared folders


def test_what_others_may_write_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv('MGFE_RIS_CACHE', str(tmp_path / 'shared'))
    rows = tmp_path / 'val.jsonl'
    rows.write_text('{"image": "a.jpg", "sentences": ["x"], "mask": null}\n')
    first = cache.open_index(rows, [rows], lambda: read_rows(rows))
    assert first.folder.parent == cache.cache_folder()
    first.folder.chmod(0o777)
    with pytest.warns(UserWarning, match='others may write there'):
        second = cache.open_index(rows, [rows], lambda: read_rows(rows))
    assert second.folder.parent != cache.cache_folder() and len(second) == 1
    first.folder.chmod(0o700)
    monkeypatch.setattr('os.getuid', lambda: 4321)
    monkeypatch.setattr(type(tmp_path), 'lstat', lambda _: SimpleNamespace(st_uid=99, st_mode=0o40700))
    with pytest.warns(UserWarning, match='others may write there'):
        cache.open_index(rows, [rows], lambda: read_rows(rows))


@pytest.mark.parametrize('name', ['../../secret', '/etc/hostname', 'other'])
def test_an_index_names_no_other_files(tmp_path, name):
    rows = tmp_path / 'val.jsonl'
    rows.write_text('{"image": "a.jpg", "sentences": ["x"], "mask": null}\n')
    (tmp_path / 'index').mkdir()
    write_index(tmp_path / 'index', rows, read_rows(rows))
    about = json.loads((tmp_path / 'index/index.json').read_text())
    about['bytes'][name] = 1
    (tmp_path / 'index/index.json').write_text(json.dumps(about))
    with pytest.raises(ValueError, match='no index'):
        SharedIndex(tmp_path / 'index')


def test_an_open_index_is_not_removed_by_its_age(tmp_path, monkeypatch):
    monkeypatch.setenv('MGFE_RIS_CACHE', str(tmp_path))
    rows = tmp_path / 'val.jsonl'
    rows.write_text('{"image": "a.jpg", "sentences": ["x"], "mask": null}\n')
    index = cache.open_index(rows, [rows], lambda: read_rows(rows))
    folder = index.folder
    os.utime(folder, (0, 0))
    cache._remove_unused(folder.parent)
    assert folder.is_dir()
    pickle.loads(pickle.dumps(index)).file.close()  # as a worker that is spawned then has it
    index.file.close()
    cache._remove_unused(folder.parent)
    assert not folder.is_dir()
