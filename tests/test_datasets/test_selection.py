"""Which samples a data set holds: against a plain computation."""

import pickle

import numpy as np
import pytest
from some_records import PARTS, records, write

from mgfe_ris.datasets.index import SharedIndex
from mgfe_ris.datasets.readers import Record, Sentence
from mgfe_ris.datasets.selection import (
    Samples,
    Selection,
    count_excluded,
    empty_sentences,
    select_objects,
    select_rows,
    shared_photos,
)


def drawn(seed: int) -> list[Record]:
    """Objects of few photos, in any order, some sentences empty, some objects without any."""
    random = np.random.default_rng(seed)
    size, parts = records()[0].size, records()[0].mask
    result = []
    for i in range(40):
        texts = [str(random.choice(['', ' ', 'a', 'b'])) for _ in range(random.integers(0, 4))]
        said = [Sentence(100 * i + n, text, str(random.choice(['', text]))) for n, text in enumerate(texts)]
        split = str(random.choice(['train', 'val', 'test']))
        result.append(Record(split, f'{random.integers(12)}.jpg', size, 1, i, parts, said))
    return result


def by_hand(items: list[Record], selection: Selection) -> list[tuple]:
    """(ref_id, ref_id of the speaker, sentences) of each sample."""
    barred = {r.file_name for r in items if r.split in selection.apart_from}
    mine = [r for r in items if r.split in selection.splits and r.file_name not in barred]
    photos: dict[str, list[Record]] = {}
    for record in mine:
        photos.setdefault(record.file_name, []).append(record)
    samples = []
    for group in photos.values():
        if selection.exchanged and len(group) == 1:
            continue
        for i, record in enumerate(group):
            speaker = group[(i + 1) % len(group)] if selection.exchanged else record
            told = [s.sent_id for s in speaker.sentences if getattr(s, selection.key).strip()]
            lists = [[s] for s in told] if selection.per_sentence else [told] if told else []
            samples += [(record.ref_id, speaker.ref_id, one) for one in lists]
    return samples


def told(index: SharedIndex, rows: np.ndarray, key: str) -> list[tuple]:
    result = []
    for target, speaker, sentence in rows.tolist():
        numbers = index.sentences(speaker, key) if sentence < 0 else [sentence]
        result.append((int(index.ref_id[target]), int(index.ref_id[speaker]), index.sent_id[numbers].tolist()))
    return result


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('per_sentence', [False, True])
def test_several_splits_without_photos_and_sentences(seed, per_sentence):
    items = drawn(seed)
    index = write(items)
    excluded = np.random.default_rng(seed).random(len(index.sent_id)) < 0.3
    wrong = set(index.sent_id[excluded].tolist())
    selection = Selection(
        ['val', 'test'], 'raw', per_sentence=per_sentence, left_out=np.array([0, 3]), excluded=excluded
    )
    barred = {index.photo_name(photo) for photo in (0, 3)}
    right = [r for r in items if r.file_name not in barred]
    if not per_sentence:
        right = [r._replace(sentences=[s for s in r.sentences if s.sent_id not in wrong]) for r in right]
    expected = by_hand(right, selection)
    samples = Samples(index, selection)
    assert [(s['ref_id'], s['sent_ids']) for s in samples] == [(ref_id, ids) for ref_id, _, ids in expected]
    assert samples.marked().tolist() == [per_sentence and ids[0] in wrong for _, _, ids in expected]
    counted = [
        s for r in items if r.split != 'train' and r.file_name not in barred for s in r.sentences if s.raw.strip()
    ]
    assert count_excluded(index, selection)['sentences'] == sum(s.sent_id in wrong for s in counted) > 0


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('apart_from', [(), ('val',), ('val', 'test')])
@pytest.mark.parametrize('per_sentence', [False, True])
@pytest.mark.parametrize('exchanged', [False, True])
@pytest.mark.parametrize('key', ['raw', 'sent'])
def test_samples_are_those_of_a_plain_computation(seed, apart_from, per_sentence, exchanged, key):
    items = drawn(seed)
    index = write(items)
    selection = Selection('train', key, apart_from, per_sentence, exchanged)
    expected = by_hand(items, selection)
    assert told(index, select_rows(index, selection), key) == expected
    assert apart_from or len(expected) > 2


@pytest.mark.parametrize('seed', range(4))
def test_empty_sentences_and_shared_photos(seed):
    items = drawn(seed)
    index = write(items)
    selection = Selection('val', 'sent')
    chosen = [items[i] for i in select_objects(index, selection)]
    empty = {(s.sent_id, r.ref_id) for r in chosen for s in r.sentences if not s.sent.strip()}
    assert {(index.sent_id[s], index.ref_id[i]) for s, i in empty_sentences(index, selection)} == empty
    photos = {split: {r.file_name for r in items if r.split == split} for split in ('train', 'val', 'test')}
    expected = {split: len(photos[split] & photos['val']) for split in ('train', 'test')}
    assert shared_photos(index, selection) == {split: n for split, n in expected.items() if n}
    apart = selection._replace(apart_from=('train', 'test'))
    assert shared_photos(index, apart) == {}


def samples_of(index: SharedIndex, **options) -> Samples:
    return Samples(index, Selection(**{'split': 'train', 'key': 'raw', **options}))


def expected(key: str = 'raw') -> list[dict]:
    return [
        dict(
            photo=photo, img_name=r.file_name, img_id=r.img_id, ref_id=r.ref_id, height=r.size[0], width=r.size[1],
            segmentation=r.parts, sentences=[getattr(s, key) for s in r.sentences],
            sent_ids=[s.sent_id for s in r.sentences],
        )
        for photo, r in ((photo, records()[i]) for i, photo in ((0, 0), (2, 0), (4, 0), (1, 1), (3, 2)))
    ]  # fmt: skip


@pytest.mark.parametrize('key', ['raw', 'sent'])
def test_all_keys_of_a_sample_photo_by_photo(key):
    samples = samples_of(write(records()), key=key)
    assert list(samples) == expected(key) and len(samples) == 5
    assert samples[1:4] == expected(key)[1:4] and samples[-1] == expected(key)[-1]


@pytest.mark.parametrize('i', [5, 100])
def test_behind_the_end(i):
    with pytest.raises(IndexError):
        samples_of(write(records()))[i]


def test_one_sentence_and_that_of_another_object():
    samples = samples_of(write(records()), per_sentence=True, exchanged=True)
    assert [(s['ref_id'], s['sent_ids']) for s in samples] == [
        (0, [20]), (0, [21]), (0, [22]), (-14, [40]), (-14, [41]), (-28, [0]),
    ]  # fmt: skip
    assert samples[0]['segmentation'] == PARTS[0] and samples[0]['sentences'] == ['Räw 2 0']


def test_they_pickle_small():
    samples = samples_of(write([r._replace(ref_id=i) for i in range(400) for r in records()]), per_sentence=True)
    data = pickle.dumps(samples)
    assert len(data) < 500 and list(pickle.loads(data)) == list(samples)


def test_sizes_that_photos_say():
    index = write([r._replace(size=(0, 0)) for r in records()])
    samples = Samples(index, Selection('train', 'raw'), {0: (9, 6), 2: (5, 4)})
    assert [(s['height'], s['width']) for s in samples] == [(9, 6)] * 3 + [(0, 0), (5, 4)]
    assert pickle.loads(pickle.dumps(samples))[4]['height'] == 5
