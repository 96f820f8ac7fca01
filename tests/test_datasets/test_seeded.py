"""The same samples, whoever loads them."""

import pickle
import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, DataLoader

from mgfe_ris.data_parts import locate, parts_of
from mgfe_ris.datasets import ReferringDataset
from mgfe_ris.datasets.seeded import SampleNumber, SeededDataset, seed_generators
from mgfe_ris.engine import RISRunner

PIPELINE = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='CropWithTarget', min_scale=0.7),
    dict(type='FlipWithWords', prob=0.5),
    dict(type='ColourJitter'),
    dict(type='WordDropout', prob=0.2),
]
GLOBAL_BATCH = 6
"""Of all processes together."""


class Draws:
    """What three generators draw for each of so many samples."""

    def __init__(self, length: int):
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple:
        if i >= self.length:
            raise IndexError(i)
        return i, random.random(), np.random.rand(), torch.rand(()).item()


@contextmanager
def process(rank: int, count: int) -> Iterator[None]:
    """As if it were one of several."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ('mmengine.dataset.sampler', 'mgfe_ris.datasets.seeded'):
            patch.setattr(f'{name}.get_dist_info', lambda: (rank, count))
        yield


def loader(dataset: object, processes: int = 1, rank: int = 0, workers: int = 0, **settings) -> DataLoader:
    config = dict(
        dataset=dataset,
        batch_size=GLOBAL_BATCH // processes,
        num_workers=workers,
        persistent_workers=workers > 0,
        drop_last=True,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type=list),
    )
    with process(rank, processes):
        return RISRunner.build_dataloader({**config, **settings}, seed=5)


def epochs(one: DataLoader, *numbers: int) -> list[list]:
    """The batches of these epochs, each as a list of samples."""
    found = []
    for number in numbers:
        one.sampler.set_epoch(number)
        found += list(one)
    return found


def joined(batches: Iterable[list]) -> list:
    return [sample for batch in batches for sample in batch]


@pytest.fixture(scope='module')
def photos(refshapes) -> dict:
    settings = dict(type='ReferringDataset', data_root=str(refshapes), ann_folder='refshapes', split_by='unc')
    return dict(settings, split='train', pipeline=PIPELINE, indices=17, _scope_='mmseg')


def contents(batch: list[dict]) -> list[tuple]:
    keys = ('ref_id', 'sent_id', 'sentence')
    return [
        (*(sample[key] for key in keys), sample['img'].tobytes(), sample['gt_seg_map'].tobytes()) for sample in batch
    ]


@pytest.fixture(scope='module')
def alone(photos) -> list[list[tuple]]:
    """One process that loads by itself."""
    return [contents(batch) for batch in epochs(loader(photos), 0, 1)]


@pytest.mark.parametrize('workers', [1, 3])
def test_workers_change_nothing(photos, alone, workers):
    assert [contents(batch) for batch in epochs(loader(photos, workers=workers), 0, 1)] == alone
    assert len(alone) == 2 * (17 // GLOBAL_BATCH)
    first, second = (set(joined(alone[k : k + 2])) for k in (0, 2))
    assert not first & second, 'each epoch draws anew'


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('processes', [2, 3])
def test_processes_together_load_the_batches_of_one(photos, alone, processes, workers):
    """17 samples: the last 5, of which mmengine would fill up a batch, are left out as in one process."""
    shares = [epochs(loader(photos, processes, rank, workers), 0, 1) for rank in range(processes)]
    together = [joined(map(contents, batches)) for batches in zip(*shares, strict=True)]
    assert [sorted(batch) for batch in together] == [sorted(batch) for batch in alone]


@pytest.mark.parametrize('processes', [2, 3])
def test_a_short_batch_that_is_not_dropped_is_filled_up(processes):
    """With samples of the start, so that each process has as many: all but the last batch are those of one process."""
    whole = epochs(loader(Draws(16), drop_last=False), 0)
    shares = [epochs(loader(Draws(16), processes, rank, drop_last=False), 0) for rank in range(processes)]
    together = [joined(batches) for batches in zip(*shares, strict=True)]
    assert [set(batch) for batch in together[:-1]] == [set(batch) for batch in whole[:-1]]
    assert set(together[-1]) >= set(whole[-1]) and len(together[-1]) == -(-4 // processes) * processes


@pytest.mark.parametrize('workers', [0, 2])
def test_batches_without_an_end_are_of_their_epoch(workers):
    """Workers load ahead: the epoch goes with the sample, not with the time."""
    endless = dict(type='InfiniteSampler', shuffle=True)
    found = [sample for batch in islice(loader(Draws(9), workers=workers, sampler=endless), 6) for sample in batch]
    assert sorted(i for i, *_ in found) == sorted([*range(9)] * 4)
    assert len(set(found)) == 36, 'the same sample draws anew in each epoch'
    shares = [loader(Draws(9), 2, rank, workers, sampler=endless) for rank in range(2)]
    together = [joined(batches) for batches in islice(zip(*shares, strict=True), 6)]
    assert sorted(joined(together)) == sorted(found)


@pytest.mark.parametrize('kind', ['repeated', 'concatenated'])
def test_the_same_object_twice_in_an_epoch_draws_twice(photos, kind):
    twice = dict(
        repeated=dict(type='RepeatDataset', dataset=photos, times=2),
        concatenated=dict(type='ConcatDataset', datasets=[photos, photos]),
    )[kind]
    found = joined(map(contents, epochs(loader(dict(twice, _scope_='mmseg')), 0)))
    refs = [ref for ref, *_ in found]
    assert len(set(refs)) < len(refs) and len(set(found)) == len(found)


def test_it_can_begin_in_the_middle_of_an_epoch():
    one = loader(Draws(20))
    whole = epochs(one, 0)
    one.sampler.begin_at(2 * GLOBAL_BATCH)
    assert epochs(one, 0) == whole[2:] and epochs(one, 0) == whole


def test_what_draws_in_the_main_process_does_not_notice():
    def draw() -> tuple:
        return random.random(), np.random.rand(), torch.rand(()).item()

    seed_generators(1)
    expected = draw()
    seed_generators(1)
    SeededDataset(Draws(3))[SampleNumber(1, 5, 0)]
    with pytest.raises(IndexError):
        SeededDataset(Draws(3))[SampleNumber(3, 5, 0)]
    assert draw() == expected


def test_seed_epoch_and_sample_each_change_all_draws():
    dataset = SeededDataset(Draws(9))
    keys = [(1, 5, 0), (1, 5, 1), (1, 6, 0), (2, 5, 0)]
    drawn = [dataset[SampleNumber(*key)][1:] for key in keys]
    assert drawn == [dataset[SampleNumber(*key)][1:] for key in keys]
    assert all(len(set(column)) == len(keys) for column in zip(*drawn, strict=True))


def test_a_number_comes_to_a_worker_with_its_epoch():
    sent = pickle.loads(pickle.dumps(SampleNumber(3, 5, 2)))
    assert (sent, sent.seed, sent.epoch) == (3, 5, 2)


def test_it_is_a_wrapper_as_mmengines_are(photos):
    dataset = SeededDataset(dict(photos))
    (part,) = parts_of(dataset)
    assert isinstance(part, ReferringDataset) and locate(dataset, 3) == (part, 3)
    assert dataset.metainfo == part.metainfo and len(dataset) == 17
    both = SeededDataset(ConcatDataset([part, Draws(2)]))
    assert locate(both, 17)[1] == 0 and not hasattr(both, '__getitems__')


def test_processes_with_seeds_of_their_own_load_as_one_does():
    """With ``diff_rank_seed`` a process's seed has its number in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mgfe_ris.engine.runner.get_rank', lambda: 2)
        config = dict(dataset=Draws(9), batch_size=3, sampler=dict(type='DefaultSampler'), collate_fn=dict(type=list))
        found = list(RISRunner.build_dataloader(config, 7, True))
    assert found == list(RISRunner.build_dataloader(config, 5))
