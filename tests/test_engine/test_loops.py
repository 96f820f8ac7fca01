"""Where a training goes on in the order of its samples."""

from types import SimpleNamespace

import pytest

from mgfe_ris.engine import RISRunner, loops
from mgfe_ris.engine.stopping import StopRequest


class Numbers:
    """Samples that are their numbers."""

    metainfo: dict = {}
    read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> dict:
        self.read.append(i)
        return dict(inputs=i)


def build(kind: type, batch: int, drop_last: bool, sampler: str = 'DefaultSampler') -> loops._StoppingLoop:
    """A loop of which nothing is there but the loader."""
    settings = dict(batch_size=batch, drop_last=drop_last, sampler=dict(type=sampler, shuffle=True))
    loop = kind.__new__(kind)
    loop.dataloader = RISRunner.build_dataloader(dict(settings, dataset=Numbers()), seed=1)
    never = SimpleNamespace(should_update=lambda: True)
    loop._runner = SimpleNamespace(stop=StopRequest(), optim_wrapper=never)
    loop.samples, loop._stopped = 0, None
    return loop


@pytest.mark.parametrize('steps', [1, 3, 4, 7])
@pytest.mark.parametrize(
    ('sampler', 'drop_last'), [('DefaultSampler', True), ('DefaultSampler', False), ('InfiniteSampler', True)]
)
def test_steps_go_on_in_any_epoch_without_loading_anything_again(sampler, drop_last, steps):
    whole = loops._EndlessBatches(build(loops.IterBasedTrainLoop, 3, drop_last, sampler))
    batches = [next(whole)['inputs'] for _ in range(11)]
    loop = build(loops.IterBasedTrainLoop, 3, drop_last, sampler)
    loop.samples = sum(map(len, batches[:steps]))
    rest = loops._EndlessBatches(loop)
    rest.skip_iter(steps)
    Numbers.read.clear()
    assert [next(rest)['inputs'] for _ in range(11 - steps)] == batches[steps:]
    assert Numbers.read == [i for batch in batches[steps:] for i in batch]


@pytest.mark.parametrize(
    ('batch', 'drop_last', 'left'), [(2, True, 2), (2, False, 2), (3, True, 1), (3, False, 2), (4, False, 1)]
)
def test_an_epoch_goes_on_behind_its_samples_with_batches_of_another_size(batch, drop_last, left):
    """6 of 10 samples are trained on. With batches of 3, one more of 10 would be left out."""
    loop = build(loops.EpochBasedTrainLoop, batch, drop_last)
    loop.samples = 6
    assert loop._steps_left(loop.samples) == left
