"""Random draws that depend on the seed, the epoch and the sample alone, whoever loads it."""

import random
from collections.abc import Iterator, Sized
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import Sampler, get_worker_info


def seed_generators(*key: int) -> None:
    """Have the global generators of Python, numpy and torch begin anew, with numbers that depend on ``key`` alone.

    Args:
        key: numbers from 0 on; what is drawn for different keys is unrelated.
    """
    words = np.random.SeedSequence(key).generate_state(4)
    number = int.from_bytes(words.tobytes(), 'little')
    random.seed(number)
    np.random.seed(words)
    # not torch.manual_seed: before CUDA is in use, it keeps a traceback of each call
    torch.default_generator.manual_seed(number % 2**63)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(number % 2**63)


@contextmanager
def kept_generators() -> Iterator[None]:
    """The global generators go on after it as if nothing had been drawn; CUDA's are left alone."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SampleNumber(int):
    """The number of a sample, with the seed and the epoch that it is loaded for."""

    seed: int
    epoch: int

    def __new__(cls, number: int, seed: int = 0, epoch: int = 0) -> 'SampleNumber':
        """``number`` of the sample in its data set; the others as :class:`SeededSampler` has them."""
        made = super().__new__(cls, number)
        made.seed, made.epoch = seed, epoch
        return made


class SeededDataset:
    """A data set, and wrappers around it, whose transforms draw from generators that begin anew with each sample.

    They draw the same for the same seed, epoch and number of a sample, in whatever worker and process. What draws
    beside in the main process does not notice that samples are loaded there.

    Args:
        dataset: config, or data set.
    """

    def __init__(self, dataset: Any):
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def __getattr__(self, name: str) -> Any:
        # dataset is not there yet when it is unpickled; torch's __getitems__ would pass by what is done here
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> Any:
        if not isinstance(number, SampleNumber):
            return self.dataset[number]
        # a worker does nothing else
        with kept_generators() if get_worker_info() is None else nullcontext():
            seed_generators(number.seed, number.epoch, int(number))
            return self.dataset[int(number)]

    def _get_ori_dataset_idx(self, number: int) -> int:
        return number  # as mmengine's wrappers tell it


class SeededSampler(Sampler[int]):
    """What another sampler yields, each with the seed and the epoch; it can begin in the middle.

    Samplers without an end, such as mmengine's ``InfiniteSampler``, are in the next epoch when all processes together
    have drawn as many samples as there are.

    Args:
        dataset: that is sampled.
        seed: of all processes alike.
        sampler: config, or sampler, of this process's samples.
        batch: samples that a process loads at a time. With it, all processes together yield whole batches, and as many
            as one process would that loads batches as large as theirs together.
    """

    def __init__(self, dataset: Sized, seed: int, sampler: dict | Sampler, batch: int | None = None):
        self.dataset = dataset
        if isinstance(sampler, dict):
            sampler = DATA_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.sampler: Any = sampler
        self.seed = seed
        self.epoch = 0
        self._first = 0
        self._rank, self._world_size = get_dist_info()
        whole = None if batch is None else len(dataset) // (batch * self._world_size) * batch
        endless = not hasattr(sampler, 'round_up')  # or somebody's own, of which nothing is known
        self._length = None if endless else whole

    def __iter__(self) -> Iterator[int]:
        first, self._first = self._first, 0
        for place, number in enumerate(islice(self.sampler, first, self._length), first):
            rounds = (self._rank + place * self._world_size) // len(self.dataset)
            yield SampleNumber(number, self.seed, self.epoch + rounds)

    def __len__(self) -> int:
        return len(self.sampler) if self._length is None else self._length

    def set_epoch(self, epoch: int) -> None:
        """As mmengine's samplers have it."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def set_seed(self, seed: int) -> None:
        """Draw as another run did that goes on."""
        self.seed = seed
        if hasattr(self.sampler, 'seed'):
            self.sampler.seed = seed

    def begin_at(self, place: int) -> None:
        """Leave out so many of this process's samples, the next time only; none of them is loaded."""
        self._first = place
