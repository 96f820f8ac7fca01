"""Batches of the sentences of one photo."""

from collections.abc import Hashable, Iterator, Sized
from itertools import islice

from mmengine.dist import get_dist_info
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler, Sampler

from ..data_parts import locate, parts_of


@DATA_SAMPLERS.register_module()
class PhotoBatchSampler(Sampler[list[int]]):
    """Cuts what ``sampler`` yields into batches whose samples follow one another on one photo of one data set.

    So a photo is decoded once, and a model may compute once what does not depend on the sentence. Once again where a
    photo has more sentences than a batch and another worker or process gets the rest.

    Args:
        sampler: with the data set as ``sampler.dataset``, as mmengine's have; in the order of the data set.
        batch_size: samples a batch at most.

    Raises:
        ValueError: batches of nothing; a data set that does not tell the photo of a sample, as ``ReferringDataset`` and
            wrappers around it do.
    """

    def __init__(self, sampler: Sampler, batch_size: int):
        if batch_size < 1:
            raise ValueError(f'batch_size must be 1 or more; got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size
        for part in parts_of(self._dataset):
            if not hasattr(part, 'photo_of'):
                raise ValueError(
                    f'PhotoBatchSampler: {type(part).__name__} does not tell the photo of a sample, as '
                    'ReferringDataset does; set batch_sampler=None in the loader'
                )

    @property
    def _dataset(self):
        return self.sampler.dataset  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        last: Hashable = None
        for i in self.sampler:
            photo = self._photo(i)
            if batch and (len(batch) == self.batch_size or photo != last):
                yield batch
                batch = []
            batch.append(i)
            last = photo
        if batch:
            yield batch

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _photo(self, i: int) -> Hashable:
        part, i = locate(self._dataset, i)
        return id(part), part.photo_of(i)  # two data sets may count their photos alike


@DATA_SAMPLERS.register_module()
class DealtBatchSampler(Sampler[list[int]]):
    """The batches that one process would test, dealt out to several in turn.

    mmengine's samplers deal out single samples. Batches of other samples round otherwise, and a pixel near the border
    may change sides.

    Args:
        sampler: with the data set as ``sampler.dataset``; its order is not asked for.
        batch_size: samples a batch at most.
        batches: config of a batch sampler, such as ``PhotoBatchSampler``; None: full batches.
    """

    def __init__(self, sampler: Sampler, batch_size: int, batches: dict | None = None):
        in_order = _InOrder(sampler.dataset)  # type: ignore[attr-defined]
        if batches is None:
            self.batches: Sampler[list[int]] = BatchSampler(in_order, batch_size, drop_last=False)
        else:
            self.batches = DATA_SAMPLERS.build(batches, default_args=dict(sampler=in_order, batch_size=batch_size))
        self._rank, self._world_size = get_dist_info()

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self.batches, self._rank, None, self._world_size)

    def __len__(self) -> int:
        return len(range(self._rank, len(self.batches), self._world_size))  # type: ignore[arg-type]


class _InOrder(Sampler[int]):
    def __init__(self, dataset: Sized):
        self.dataset = dataset

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.dataset)))

    def __len__(self) -> int:
        return len(self.dataset)
