"""Refs and sentences that a review found wrong: left out of training, marked in tests."""

import json
import pickle

import pytest
from mmengine.registry import init_default_scope
from test_combined import PACKED, write_refs

from mgfe_ris.datasets import ReferringDataset


@pytest.fixture
def read(tmp_path):
    """Six refs: sentences 0 to 2 are of train, 3 to 5 of val; ref 1 has a second sentence, 10."""
    config = write_refs(tmp_path, 'a', [(('train', 'val')[i > 2], i % 3, f'sentence {i}') for i in range(6)])
    path = tmp_path / 'a/refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    refs[1]['sentences'].append(dict(sent_id=10, raw='another', sent='another'))
    path.write_bytes(pickle.dumps(refs))
    del config['type']
    init_default_scope('mmseg')

    def build(excluded: object, **settings) -> ReferringDataset:
        text = excluded if isinstance(excluded, str) else json.dumps(excluded)
        (tmp_path / 'wrong.json').write_text(text)
        return ReferringDataset(**config, exclude='wrong.json', pipeline=PACKED, **settings)

    return build


def sent_ids(dataset: ReferringDataset) -> list[list[int]]:
    return [dataset.get_data_info(i)['sent_ids'] for i in range(len(dataset))]


@pytest.mark.parametrize(
    ('excluded', 'left', 'counts'),
    [
        (dict(ref_id=[0, 4]), [[1, 10], [2]], dict(refs=1, sentences=1)),
        (dict(sent_id=[1, 2, 3]), [[0], [10]], dict(refs=1, sentences=2)),
        (dict(ref_id=[1], sent_id=[1, 0]), [[2]], dict(refs=2, sentences=3)),
    ],
)
def test_training_goes_without(read, excluded, left, counts):
    dataset = read(excluded)
    assert sent_ids(dataset) == left and sent_ids(pickle.loads(pickle.dumps(dataset))) == left
    assert dataset.metainfo['protocol']['exclude'] == dict(file='wrong.json', **counts)
    assert 'reviewed_out' not in dataset[0]['data_samples']
    assert read(excluded, lazy_init=True).metainfo['protocol']['exclude'] == dict(file='wrong.json')


def test_tests_keep_and_mark(read):
    dataset = read(dict(ref_id=[4], sent_id=[3, 10]), split='val', per_sentence=True)
    assert [dataset[i]['data_samples'].get('reviewed_out') for i in range(3)] == [True, True, False]
    assert dataset.metainfo['protocol']['exclude'] == dict(file='wrong.json', refs=2, sentences=2)
    assert read(dict(ref_id=[0]), split='val', per_sentence=True)[2]['data_samples'].reviewed_out is False


@pytest.mark.parametrize(
    ('excluded', 'message'),
    [
        (dict(ref_id=[1, 77, 99]), r'wrong\.json: 2 of 3 are no ref_id of this data set; the first is ref_id 77\. Is'),
        (dict(sent_id=[6]), '1 of 1 are no sent_id of this data set; the first is sent_id 6'),
        ('{"ref_id": [1', r'wrong\.json: not JSON'),
        ([1, 2], r'expected \{"ref_id": \[\.\.\.\], "sent_id": \[\.\.\.\]\} with whole numbers, at least one'),
        (dict(ref_id=[]), 'at least one'),
        (dict(ref_ids=[1]), 'expected'),
        (dict(ref_id=['1']), 'whole numbers'),
        (dict(ref_id=1, sent_id=[2]), 'expected'),
        (dict(ref_id=[2**70]), 'whole numbers'),
        (dict(ref_id=[0, 1, 2]), r"split 'train' has no sentence that is not empty, apart from what wrong\.json lists"),
    ],
)
def test_lists_that_do_not_fit(read, excluded, message):
    with pytest.raises(ValueError, match=message):
        read(excluded)


def test_an_id_of_several_sentences(read, tmp_path):
    path = tmp_path / 'a/refs(unc).p'
    refs = pickle.loads(path.read_bytes())
    refs[4]['sentences'][0]['sent_id'] = 1
    path.write_bytes(pickle.dumps(refs))
    with pytest.raises(ValueError, match=r'wrong\.json: 1 of 2 are a sent_id of several .*; the first is sent_id 1\.'):
        read(dict(sent_id=[0, 1]))
    assert sent_ids(read(dict(sent_id=[0], ref_id=[2]))) == [[1, 10]], 'others do not matter'


def test_a_list_that_leaves_nothing_to_test(read):
    with pytest.raises(ValueError, match=r"split 'val' has no sentence .* apart from what wrong\.json lists"):
        read(dict(ref_id=[3, 4, 5]), split='val', per_sentence=True)


def test_a_missing_list(read, tmp_path):
    read(dict(ref_id=[1]))
    with pytest.raises(FileNotFoundError, match=r'gone\.json: no such file\. exclude is a file in data_root'):
        ReferringDataset(str(tmp_path), 'a', 'unc', exclude='gone.json')
