"""Which words a work dir says that its training had."""

from types import SimpleNamespace

import pytest

from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.engine import TrainingWordsHook
from mgfe_ris.training_words import WORDS, read_words, words_of, write_words


@pytest.fixture
def data(refshapes) -> ReferringDataset:
    return ReferringDataset(str(refshapes), 'refshapes', 'unc', 'train')


def begin(all_words, folder, *parts, resumed=None) -> None:
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=SimpleNamespace(datasets=parts)))
    TrainingWordsHook(all_words).before_train(SimpleNamespace(train_loop=loop, work_dir=folder, resumed=resumed))


def test_all_words_of_all_parts_are_written(data, refshapes, tmp_path):
    few = ReferringDataset(str(refshapes), 'refshapes', 'unc', 'val', indices=1)
    sentences = [sentence for part in (data, few) for i in range(len(part)) for sentence in part[i]['sentences']]
    said = {word for sentence in sentences for word in words_of(sentence)}
    begin(True, tmp_path, data, few)
    assert read_words(tmp_path) == said and 'red' in said


@pytest.mark.parametrize('all_words', [False, True])
def test_a_list_of_another_training_goes(data, tmp_path, all_words):
    """Of one whose text encoder is pretrained, and of one whose data does not tell its sentences."""
    write_words(['red'], tmp_path)
    begin(all_words, tmp_path, *([[1, 2]] if all_words else [data]), resumed='epoch_1.pth')
    assert read_words(tmp_path) == {'red'}, 'the same training goes on'
    begin(all_words, tmp_path, *([[1, 2]] if all_words else [data]))
    assert not (tmp_path / WORDS).exists()
