"""Records as columns in files: all of them come back, in any process, and the files go with their owner."""

import copy
import multiprocessing
import pickle

import pytest
from slow import slow
from some_records import PARTS, records, write

from mgfe_ris.datasets.index import SharedIndex
from mgfe_ris.datasets.readers import Record, Sentence, pack_parts

PHOTO = (9, 6)  # of the first record


def told(index: SharedIndex, i: int) -> tuple:
    photo = int(index.photo[i])
    spoken = range(int(index.sentence_start[i]), int(index.sentence_end[i]))
    return (
        index.splits[index.split[i]], index.photo_name(photo), index.size(photo), int(index.img_id[photo]),
        int(index.ref_id[i]), index.parts(i), index.place(i),
        [(int(index.sent_id[s]), index.text(s, 'raw'), index.text(s, 'sent')) for s in spoken],
    )  # fmt: skip


def expected(record: Record) -> tuple:
    return (
        record.split, record.file_name, record.size, record.img_id, record.ref_id, record.parts, record.where,
        [tuple(s) for s in record.sentences],
    )  # fmt: skip


def assert_whole(index: SharedIndex) -> None:
    assert [told(index, i) for i in range(len(index))] == list(map(expected, records()))


def test_all_that_was_written_comes_back():
    index = write(iter(records()))
    assert_whole(index)
    assert index.photo.tolist() == [0, 1, 0, 2, 0]
    assert [index.size(i) for i in range(3)] == [PHOTO, (16, 6), PHOTO]
    assert index.without_mask().tolist() == [False, False, True, False, False] and index.pngs == [4]


def test_splits():
    index = write(r._replace(split=name) for r, name in zip(records(), 'abacb', strict=True))
    assert index.splits == ['a', 'b', 'c'] and index.split.tolist() == [0, 1, 0, 2, 1]


def test_text_that_no_file_takes_is_replaced():
    index = write([records()[0]._replace(sentences=[Sentence(1, 'a\ud800b\0', '')])])
    assert index.text(0, 'raw') == 'a?b\0' and index.text(0, 'sent') == ''


def test_sentences_that_say_nothing():
    said = [Sentence(1, ' ', ''), Sentence(2, '!', ''), Sentence(3, ' a', 'a')]
    index = write([r._replace(sentences=said) for r in records()])
    assert [index.sentences(i, 'raw') for i in (0, 1)] == [[1, 2], [4, 5]]
    assert [index.sentences(i, 'sent') for i in (0, 1)] == [[2], [5]]
    assert index.spoken('raw').tolist() == [False, True, True] * 5
    assert index.spoken('sent').tolist() == [False, False, True] * 5


def test_no_record_at_all():
    index = write([])
    assert len(index) == 0 and not len(index.sentence_start)


def test_it_pickles_small_and_cannot_be_written():
    index = write([r._replace(ref_id=i) for i in range(400) for r in records()])
    assert len(pickle.dumps(index)) < 300
    with pytest.raises(ValueError, match='read-only'):
        index.ref_id[0] = 1


def test_a_mask_that_cannot_be_of_its_photo():
    wrong = records()[1]._replace(mask=pack_parts([[1, 2, 3]]))
    with pytest.raises(ValueError, match='source, row 1: the mask: a polygon needs'):
        write([records()[0], wrong])


def test_two_sizes_of_one_photo():
    message = r'source, row 2: a.jpg is said to be \(9, 7\), and before \(9, 6\)'
    with pytest.raises(ValueError, match=message):
        write([*records()[:2], records()[2]._replace(size=(9, 7))])


def test_a_size_that_only_a_later_row_says():
    first, _, third = records()[:3]
    index = write([first._replace(size=(0, 0)), third, first._replace(size=(0, 0))])
    assert index.size(0) == third.size


@pytest.mark.parametrize(
    ('parts', 'empty'),
    [
        ([dict(size=[9, 6], counts=[54])], True),
        ([dict(size=[9, 6], counts=[54, 0]), dict(size=[9, 6], counts=b'f1')], True),
        ([dict(size=[9, 6], counts=[54]), [0, 0, 3, 0, 3, 3]], False),
        ([dict(size=[9, 6], counts=[53, 1])], False),
        ([[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], True),
        ([[6.1, 1, 9, 1, 9, 8]], True),
        ([[1, 9.5, 5, 9.5, 5, 12]], True),
        ([[4.8, 7.8, 9, 7.8, 9, 12, 4.8, 12]], False),
        ([[1, 1, 2, 1, 2, 2, 1, 2]], False),
        ([{'png': 'a.png'}], False),
        ([], True),
    ],
)
def test_a_mask_without_a_pixel_is_none(parts, empty):
    record = records()[0]._replace(mask=pack_parts(parts))
    index = write([record])
    assert index.without_mask().tolist() == [empty] and index.parts(0) == ([] if empty else parts)
    unsized = write([record._replace(size=(0, 0))])
    assert unsized.parts(0) == parts, 'what is outside is not known yet'


@pytest.mark.parametrize('name', ['ref_id', 'masks', 'raw_end', 'index.json'])
@pytest.mark.parametrize('damage', ['gone', 'empty', 'short'])
def test_a_damaged_index_is_refused(name, damage):
    index = write(records())
    path = index.folder / name
    if damage == 'gone':
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] if damage == 'short' else b'')
    with pytest.raises((OSError, ValueError)):
        SharedIndex(index.folder)


@pytest.mark.parametrize('text', ['[]', '{}', '{"splits": []}'])
def test_what_is_no_index(text):
    index = write(records())
    (index.folder / 'index.json').write_text(text)
    with pytest.raises(ValueError, match='no index'):
        SharedIndex(index.folder)


# Processes


def read_all(index: SharedIndex, queue, i: int) -> None:
    queue.put((i, [told(index, j) for j in range(len(index))]))


@pytest.mark.parametrize(
    'method',
    [
        'fork',
        pytest.param(
            'spawn',
            marks=slow('imports anew'),
        ),
    ],
)
def test_workers_share_it(method):
    index = write(records())
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    number = 2 if method == 'fork' else 1  # a new process imports everything
    workers = [context.Process(target=read_all, args=(index, queue, i)) for i in range(number)]
    for worker in workers:
        worker.start()
    answers = dict(queue.get(timeout=100) for _ in workers)
    for worker in workers:
        worker.join(100)
    assert answers == {i: list(map(expected, records())) for i in range(number)}
    assert index.folder.is_dir(), "a worker's end is not the owner's"
    assert_whole(index)


def drop(index: list[SharedIndex]) -> None:
    index.clear()  # the finalizer runs here, in the copy


def test_the_copy_of_a_forked_worker_goes_and_the_files_stay():
    held = [write(records())]
    files = sorted(held[0].folder.iterdir())
    worker = multiprocessing.get_context('fork').Process(target=drop, args=(held,))
    worker.start()
    worker.join(100)
    assert worker.exitcode == 0 and sorted(held[0].folder.iterdir()) == files


def test_the_files_go_with_the_owner_and_with_no_copy():
    index = write(records())
    folder = index.folder
    unpickled, deep = pickle.loads(pickle.dumps(index)), copy.deepcopy(index)
    del unpickled
    assert folder.is_dir()
    del index
    assert folder.is_dir() and deep.parts(0) == PARTS[0], 'a deep copy in the same process keeps them'
    del deep
    assert not folder.exists()
