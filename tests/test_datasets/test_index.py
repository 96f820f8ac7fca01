"""Records as columns in files: all of them come back, in any process, and the files go with their owner."""

import copy
import json
import multiprocessing
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgfe_ris.datasets.index import Samples, SharedIndex, write_index
from mgfe_ris.datasets.readers import Record, Sentence, pack_parts, read_refer

REPO = Path(__file__).parents[2]
# Without the package's __init__, which imports torch
LIGHT = f"""
import sys, time, types
for name in ('mgfe_ris', 'mgfe_ris.datasets'):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [{str(REPO)!r} + '/' + name.replace('.', '/')]
from mgfe_ris.datasets.index import write_index
from mgfe_ris.datasets.readers import read_refer
"""
LOAD = """
start, cpu = time.perf_counter(), time.process_time()
index = write_index(read_refer(sys.argv[1], 'unc'), 'raw')
cpu, wall = time.process_time() - cpu, time.perf_counter() - start
peak = next(int(line.split()[1]) / 1024 for line in open('/proc/self/status') if line.startswith('VmHWM'))
print(cpu, wall, peak, len(index), len(index.sent_id), len(index.name_end))
print(index.folder)
"""


def run(script: str, *arguments: object) -> list[str]:
    command = [sys.executable, '-c', LIGHT + script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


PARTS = [
    [[0, 0.5, 3.25, 1e-7, 2, 2]],
    [dict(size=[4, 6], counts='PPYo0'), [1, 2, 3, 4, 5, 6]],
    [],
    [dict(size=[4, 6], counts=b'PPYo0')],
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


def objects(index: SharedIndex) -> Samples:
    return Samples(index, np.array([(i, i, -1) for i in range(len(index))]))


@pytest.mark.parametrize('key', ['raw', 'sent'])
def test_all_that_was_written_comes_back(key):
    index = write_index(iter(records()), key)
    samples = objects(index)
    assert list(samples) == expected(key) and len(samples) == len(index) == 5
    assert samples[1:4] == expected(key)[1:4] and samples[-1] == expected(key)[-1]
    assert [index.num_sentences(i) for i in range(5)] == [1, 2, 3, 1, 2]
    assert [index.photo_name(i) for i in range(3)] == ['a.jpg', 'ordner/ü.png', 'b.jpg']
    assert index.photo.tolist() == [0, 1, 0, 2, 0]


def test_one_sentence_and_that_of_another_object():
    samples = Samples(write_index(records(), 'sent'), np.array([(2, 2, 1), (0, 2, -1), (0, 1, 0)]))
    assert [(s['ref_id'], s['sentences'], s['sent_ids']) for s in samples] == [
        (-14, ['clean 2 1'], [21]),
        (0, ['clean 2 0', 'clean 2 1', 'clean 2 2'], [20, 21, 22]),
        (0, ['clean 1 0'], [10]),
    ]
    assert samples[1]['img_name'] == 'a.jpg' and samples[1]['segmentation'] == PARTS[0]


@pytest.mark.parametrize('i', [5, 100])
def test_behind_the_end(i):
    with pytest.raises(IndexError):
        objects(write_index(records(), 'raw'))[i]


def test_text_that_no_file_takes_is_replaced():
    record = records()[0]._replace(sentences=[Sentence(1, 'a\ud800b\0', '')])
    assert write_index([record], 'raw').sample(0, 0, -1)['sentences'] == ['a?b\0']
    assert write_index([record], 'sent').sample(0, 0, -1)['sentences'] == ['']


def test_it_pickles_small_and_cannot_be_written():
    many = [r._replace(ref_id=i) for i in range(400) for r in records()]
    samples = objects(write_index(many, 'raw'))
    data = pickle.dumps(samples)
    assert len(data) < 400
    assert list(pickle.loads(data)) == list(samples)
    with pytest.raises(ValueError, match='read-only'):
        samples.shared.ref_id[0] = 1


# Processes


def read_all(samples: Samples, queue, i: int) -> None:
    queue.put((i, list(samples)))


@pytest.mark.parametrize('method', ['fork', 'spawn'])
def test_workers_share_it(method):
    samples = objects(write_index(records(), 'raw'))
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
    held = [write_index(records(), 'raw')]
    worker = multiprocessing.get_context('fork').Process(target=drop, args=(held,))
    worker.start()
    worker.join(100)
    assert worker.exitcode == 0 and len(list(held[0].folder.iterdir())) == 13


def test_the_files_go_with_the_owner_and_with_no_copy():
    index = write_index(records(), 'raw')
    folder = index.folder
    unpickled, deep = pickle.loads(pickle.dumps(index)), copy.deepcopy(index)
    del unpickled
    assert folder.is_dir()
    del index
    assert folder.is_dir() and deep.sample(0, 0, -1) == expected()[0], 'a deep copy in the same process keeps them'
    del deep
    assert not folder.exists()


def test_the_files_go_at_the_end_of_the_program(coco_ref):
    folder = Path(run(LOAD, coco_ref / 'refcoco')[-1])
    assert folder.name.startswith('mgfe_ris_') and not folder.exists()


def test_an_error_while_reading_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))

    def broken():
        yield records()[0]
        raise ValueError('broken')

    with pytest.raises(ValueError, match='broken'):
        write_index(broken(), 'raw')
    assert not list(tmp_path.iterdir())


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


def test_time_and_memory_at_the_size_of_refcoco(large):
    """The aim is 3 s and 300 MB on an idle machine; the bound of time leaves room for a busy one."""
    cpu, wall, megabytes, *sizes = map(float, run(LOAD, large)[:-1])
    print(f'{cpu:.2f} s of CPU, {wall:.2f} s, {megabytes:.0f} MB')
    assert sizes == [OBJECTS, SENTENCES, PHOTOS]
    assert cpu < 8 and megabytes < 320


def test_what_was_loaded_at_that_size(large):
    instances = json.loads((large / 'instances.json').read_text())
    masks = [a['segmentation'] for a in instances['annotations']]
    refs = pickle.loads((large / 'refs(unc).p').read_bytes())
    index = write_index(read_refer(large, 'unc'), 'sent')
    samples = objects(index)
    assert len(pickle.dumps(samples)) < 400
    for i in (*range(0, OBJECTS, 997), OBJECTS - 1):
        ref, mask = refs[i], masks[refs[i]['ann_id']]
        assert samples[i]['segmentation'] == (mask if isinstance(mask, list) else [mask])
        assert samples[i]['sentences'] == [s['sent'] for s in ref['sentences']]
        assert samples[i]['sent_ids'] == ref['sent_ids']
        assert samples[i]['img_name'] == instances['images'][ref['image_id']]['file_name']
