"""What the hooks print and change."""

import random
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mgfe_ris import hooks
from mgfe_ris.hooks import EpochSeedHook, EpochSummaryHook


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(hooks, 'time', SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def run_epochs(
    clock, first: int, total: int, losses: list[float], world_size: int = 1, rates: dict | None = None
) -> list[str]:
    """Epochs of 10 s, a validation of 4 s after each; 4 photos a batch on each device."""
    lines: list[str] = []
    runner = SimpleNamespace(
        epoch=first,
        max_epochs=total,
        world_size=world_size,
        optim_wrapper=SimpleNamespace(get_lr=lambda: rates or dict(lr=[2.5e-4, 1e-5])),
        logger=SimpleNamespace(info=lines.append),
    )
    hook = EpochSummaryHook()
    hook.before_train(runner)
    for runner.epoch in range(first, total):
        hook.before_train_epoch(runner)
        for i, loss in enumerate(losses):
            clock.now += 10 / len(losses)
            hook.after_train_iter(runner, i, dict(inputs=[0] * 4), dict(loss=torch.tensor(loss)))
        hook.after_train_epoch(runner)
        clock.now += 4
    return lines


FORM = re.compile(
    r'epoch (\d+)/(\d+)  loss ([\d.]+)  lr ([\d.e+-]+)  ([\d.]+) samples/s  memory ([\d.]+) GiB  left ([\d:]+)'
)


def test_the_line_of_an_epoch(clock):
    lines = run_epochs(clock, 0, 3, [1.0, 2.0, 4.5])
    fields = [FORM.fullmatch(line).groups() for line in lines]
    assert [f[:5] for f in fields] == [(str(i), '3', '2.5000', '2.50e-04', '1') for i in (1, 2, 3)]
    # 10 s for the first of three; 24 s for two
    assert [f[6] for f in fields] == ['0:00:20', '0:00:12', '0:00:00']
    assert all(0.05 < float(f[5]) < 500 for f in fields)


def test_time_left_after_resuming_counts_this_run_only(clock):
    lines = run_epochs(clock, 7, 10, [1.0])
    assert [FORM.fullmatch(line)[1] for line in lines] == ['8', '9', '10']
    assert FORM.fullmatch(lines[0])[7] == '0:00:20'


def test_samples_of_all_devices(clock):
    assert FORM.fullmatch(run_epochs(clock, 0, 1, [1.0] * 5, world_size=8)[0])[5] == '16'


@pytest.mark.parametrize(('platform', 'unit'), [('linux', 1024), ('darwin', 1)])
def test_memory_is_the_peak_of_the_process(monkeypatch, platform, unit):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(hooks.sys, 'platform', platform)
    monkeypatch.setattr('resource.getrusage', lambda who: SimpleNamespace(ru_maxrss=3000))
    assert hooks._peak_memory() == 3000 * unit


def test_the_rate_is_the_base_rate_where_groups_have_multipliers(clock):
    rates = dict(lr=[5e-4, 2e-3], base_lr=[2e-3])
    assert '  lr 2.00e-03  ' in run_epochs(clock, 0, 1, [1.0], rates=rates)[0]


def test_memory_on_cuda_is_what_torch_allocated(monkeypatch, clock):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'max_memory_allocated', lambda: 7 * 2**30)
    assert FORM.fullmatch(run_epochs(clock, 0, 1, [1.0])[0])[6] == '7.0'


def test_each_epoch_has_random_numbers_of_its_own_whatever_came_before():
    def draw(epoch: int, rank: int = 0) -> list[float]:
        EpochSeedHook().before_train_epoch(SimpleNamespace(seed=3, epoch=epoch, rank=rank))
        return [torch.rand(()).item(), np.random.rand(), random.random()]

    first, second, elsewhere = draw(0), draw(1), draw(1, rank=1)
    torch.rand(5), np.random.rand(5), random.random()
    assert draw(1) == second
    assert all(len({a, b, c}) == 3 for a, b, c in zip(first, second, elsewhere, strict=True))
