"""Batches of the sentences of one photo."""

from collections.abc import Iterator

from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Sampler


@DATA_SAMPLERS.register_module()
class PhotoBatchSampler(Sampler[list[int]]):
    """Cuts what ``sampler`` yields into batches whose samples follow one another on one photo.

    So a photo is decoded once, and a model may compute once what does not depend on the sentence. Once again where a
    photo has more sentences than a batch and another worker gets the rest, and in each process of a distributed test,
    among which mmengine's samplers deal out sentences.

    Args:
        sampler: with the data set as ``sampler.dataset``, as mmengine's have; in the order of the data set.
        batch_size: samples a batch at most.
    """

    def __init__(self, sampler: Sampler, batch_size: int):
        if batch_size < 1:
            raise ValueError(f'batch_size must be 1 or more; got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        batch: list[int] = []
        for i in self.sampler:
            if batch and (len(batch) == self.batch_size or self._photo(i) != self._photo(batch[0])):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _photo(self, i: int) -> int:
        return self.sampler.dataset.photo_of(i)  # type: ignore[attr-defined]
