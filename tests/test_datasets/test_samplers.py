"""Batches of the sentences of one photo."""

import pytest
from mmengine.dataset import DefaultSampler
from torch.utils.data import SequentialSampler

from mgfe_ris.datasets import PhotoBatchSampler


class Photos:
    """A data set of nothing but the photos of its samples."""

    def __init__(self, photos: str):
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def photo_of(self, i: int) -> str:
        return self.photos[i]


class Order(SequentialSampler):
    def __init__(self, dataset: Photos):
        super().__init__(dataset)
        self.dataset = dataset


@pytest.mark.parametrize(
    ('photos', 'size', 'batches'),
    [
        ('aabbb', 8, ['aa', 'bbb']),
        ('aaaaa', 2, ['aa', 'aa', 'a']),
        ('abcab', 3, ['a', 'b', 'c', 'a', 'b']),
        ('aab', 1, ['a', 'a', 'b']),
        ('', 4, []),
    ],
)
def test_batches(photos, size, batches):
    sampler = PhotoBatchSampler(Order(Photos(photos)), size)
    found = list(sampler)
    assert [''.join(photos[i] for i in batch) for batch in found] == batches
    assert [i for batch in found for i in batch] == list(range(len(photos)))
    assert len(sampler) == len(batches)


def test_it_takes_mmengines_sampler():
    sampler = PhotoBatchSampler(DefaultSampler(Photos('aaabbc'), shuffle=False), 2)
    assert list(sampler) == [[0, 1], [2], [3, 4], [5]]


@pytest.mark.parametrize('size', [0, -1])
def test_a_batch_of_nothing(size):
    with pytest.raises(ValueError, match=f'batch_size must be 1 or more; got {size}'):
        PhotoBatchSampler(Order(Photos('a')), size)
