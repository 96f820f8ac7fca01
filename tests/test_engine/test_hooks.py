"""What the hooks print and change."""

import pickle
import random
import re
from collections.abc import Callable, Iterable
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mgfe_ris.apis import load_config
from mgfe_ris.engine import hooks
from mgfe_ris.engine.hooks import EpochSummaryHook, SlowStepsHook


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(hooks, 'time', SimpleNamespace(monotonic=lambda: clock.now, perf_counter=lambda: clock.now))
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


@pytest.mark.parametrize(
    ('unknown', 'said'), [(0, []), (12, ['12 of the sentences that were read had no word that the'])]
)
@pytest.mark.parametrize('end', ['after_train', 'after_test'])
def test_sentences_that_say_nothing_are_counted_at_the_end(unknown, said, end):
    lines: list[str] = []
    tokenizer = SimpleNamespace(num_unknown=unknown)
    model = SimpleNamespace(data_preprocessor=SimpleNamespace(tokenizer=tokenizer))
    getattr(EpochSummaryHook(), end)(SimpleNamespace(model=model, logger=SimpleNamespace(warning=lines.append)))
    assert [line[:53] for line in lines] == [line[:53] for line in said]
    getattr(EpochSummaryHook(), end)(SimpleNamespace(model=SimpleNamespace(data_preprocessor=None)))


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


@pytest.mark.parametrize(('patience', 'stops'), [(3, False), (2, True)])
def test_early_stopping_counts_the_validations_before_a_resume(patience, stops):
    hook = HOOKS.build(dict(type='EarlyStoppingHook', monitor='oIoU', rule='greater', patience=patience))
    loop = SimpleNamespace(stop_training=False)
    logged = {'val/oIoU': HistoryBuffer([3.0, 2.0, 1.0], [1, 1, 1])}
    hook.before_train(SimpleNamespace(train_loop=loop, message_hub=SimpleNamespace(log_scalars=logged)))
    assert (hook.best_score, hook.wait_count, loop.stop_training) == (3.0, 2, stops)


@pytest.fixture
def two_threads(monkeypatch) -> None:
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2)
    monkeypatch.delenv('OMP_WAIT_POLICY', raising=False)


def run_steps(
    clock,
    seconds: Iterable[float],
    first: int = 0,
    epoch: int = 1000,
    wait: Callable[[int], float] = lambda i: 0.01,
    hook: SlowStepsHook | None = None,
    device: str = 'cpu',
) -> list[str]:
    """A run of steps that take these seconds -> its warnings.

    Args:
        first: the step that it goes on from.
        epoch: steps; a validation of 60 s stands between two epochs.
        wait: seconds for the data of a step.
    """
    hook, lines = hook or SlowStepsHook(), []
    runner = SimpleNamespace(
        iter=first,
        model=torch.nn.Linear(1, 1, device=device),
        logger=SimpleNamespace(warning=lines.append),
    )
    hook.before_train(runner)
    for i, spent in enumerate(seconds):
        if i % epoch == 0:
            clock.now += 60
            hook.before_train_epoch(runner)
        clock.now += wait(i)
        hook.before_train_iter(runner, i % epoch, {})
        clock.now += spent
        hook.after_train_iter(runner, i % epoch, {}, {})
        runner.iter += 1
    return lines


OPENMP = (
    r', while the 2 threads of OpenMP wait for each other actively\. End them, or start again with '
    r'OMP_WAIT_POLICY=PASSIVE \(or OMP_NUM_THREADS=1\) in the environment and --resume; see docs/speed\.md'
)


def warning(now: str, since: int, before: str, remedy: str = OPENMP) -> re.Pattern:
    return re.compile(
        rf'training steps take {now} s since about step {since}; the first ones took {before} s\. '
        rf'Probably other programs share the cores{remedy}'
    )


@pytest.mark.parametrize('epoch', [1000, 7])
@pytest.mark.parametrize('first', [0, 5000])
def test_slow_steps_are_told_once_with_the_remedy(clock, two_threads, first, epoch):
    """In epochs shorter than the window, too, and in runs that are resumed: steps are counted from their first one."""
    lines = run_steps(clock, [0.36] * 200 + [1.74] * 200 + [0.36] * 200 + [13.0] * 200, first, epoch)
    assert len(lines) == 1 and warning(r'1\.74', first + 201, r'0\.36').fullmatch(lines[0])


def test_they_are_told_when_more_than_half_of_the_window_is_slow(clock, two_threads):
    assert not run_steps(clock, [0.36] * 100 + [1.74] * 25)
    assert run_steps(clock, [0.36] * 100 + [1.74] * 26)


def test_each_run_is_told_by_itself(clock, two_threads):
    hook = SlowStepsHook()
    seconds = [0.36] * 100 + [1.74] * 100
    assert [len(run_steps(clock, seconds, hook=hook)) for _ in range(2)] == [1, 1]


def test_twice_as_slow_is_not_worth_a_word(clock, two_threads):
    assert not run_steps(clock, [0.36] * 100 + [1.0] * 100)
    assert run_steps(clock, [0.36] * 100 + [1.1] * 100)
    assert run_steps(clock, [0.36] * 100 + [1.0] * 100, hook=SlowStepsHook(factor=2.0))


def test_first_steps_that_compile_are_not_what_is_normal(clock, two_threads):
    compiling = [90.0] * 10
    assert not run_steps(clock, compiling + [0.36] * 300)
    slow = run_steps(clock, compiling + [0.36] * 100 + [1.74] * 100)
    assert warning(r'1\.74', 111, r'0\.36').fullmatch(slow[0])
    assert run_steps(clock, [0.01] * 10 + [0.36] * 300, hook=SlowStepsHook(window=9, warm_up=0))


@pytest.mark.parametrize('first', [0, 5000])
def test_steps_are_left_out_where_a_run_is_resumed_too(clock, two_threads, first):
    assert not run_steps(clock, [0.01] * 10 + [0.36] * 300, first, hook=SlowStepsHook(window=9))


def test_a_few_fast_steps_are_not_what_is_normal(clock, two_threads):
    assert not run_steps(clock, [0.36] * 10 + [0.01] * 20 + [0.36] * 300)


def test_a_run_that_goes_on_elsewhere_has_a_normal_of_its_own(clock, two_threads):
    hook = SlowStepsHook()
    assert not run_steps(clock, [0.36] * 200, hook=hook)
    assert not run_steps(clock, [3.6] * 200, first=200, hook=hook)


def test_single_slow_steps_say_nothing(clock, two_threads):
    assert not run_steps(clock, ([0.36] * 20 + [300.0]) * 20)
    assert run_steps(clock, [0.36] * 100 + ([300.0] * 2 + [0.36]) * 20), 'two of three are no exception'


def test_photos_of_other_sizes_here_and_there_say_nothing(clock, two_threads):
    sizes = random.Random(0).choices([0.36, 1.5], weights=[3, 1], k=2000)
    assert not run_steps(clock, [0.36] * 100 + sizes)


def test_waiting_for_data_and_validation_are_no_part_of_a_step(clock, two_threads):
    assert not run_steps(clock, [0.36] * 300, wait=lambda i: 0.01 if i < 100 else 20.0)
    lines = run_steps(clock, [0.36] * 100 + [1.74] * 100, epoch=1, wait=lambda i: 20.0)
    assert len(lines) == 1 and warning(r'1\.74', 101, r'0\.36').fullmatch(lines[0])


def test_what_hooks_do_behind_a_step_is_no_part_of_it(clock, two_threads, tmp_path):
    """In mmengine's own runner, whose log has the warning."""

    class Toy(BaseModel):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, inputs, mode):
            clock.now += 0.36 if inputs[0] < 40 else 1.74
            return dict(loss=self.weight)

    class Save(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            clock.now += 100 + batch_idx**2

    runner = Runner(
        Toy(),
        str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            dataset=[dict(inputs=i) for i in range(80)],
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_hooks=dict(slow_steps=dict(type='SlowStepsHook', window=9), checkpoint=None),
        custom_hooks=[Save()],
        default_scope='mmseg',
        experiment_name='slow_steps',
        log_level='WARNING',
    )
    runner.train()
    (log,) = tmp_path.glob('*/*.log')
    assert len(warning(r'1\.74', 41, r'0\.36').findall(log.read_text())) == 1


def test_on_a_gpu_it_is_silent(clock, two_threads):
    seconds = [0.36] * 100 + [1.74] * 100
    assert run_steps(clock, seconds) and not run_steps(clock, seconds, device='meta')


@pytest.mark.parametrize(('threads', 'policy'), [(1, None), (2, 'PASSIVE'), (2, 'passive')])
def test_no_remedy_that_is_taken_already(clock, monkeypatch, two_threads, threads, policy):
    monkeypatch.setattr(torch, 'get_num_threads', lambda: threads)
    if policy:
        monkeypatch.setenv('OMP_WAIT_POLICY', policy)
    lines = run_steps(clock, [0.36] * 100 + [1.74] * 100)
    assert len(lines) == 1 and warning(r'1\.74', 101, r'0\.36', r'\. End them').fullmatch(lines[0])


def test_slow_steps_are_found_in_constant_memory(clock, two_threads):
    sizes = []
    for steps in (100, 5000):
        hook = SlowStepsHook()
        run_steps(clock, [0.36] * steps, hook=hook)
        sizes.append(len(pickle.dumps(vars(hook))))
    assert sizes[0] == sizes[1] and len(hook._seconds) == 51


def test_other_hooks_do_not_take_slow_steps_away():
    for custom in ([], [dict(type='EMAHook')]):
        cfg = load_config('mgfe-ris_tiny_refshapes', dict(custom_hooks=custom))
        assert [hook.type for hook in cfg.default_hooks.values()].count('SlowStepsHook') == 1
        assert cfg.custom_hooks == custom
    assert isinstance(HOOKS.build(cfg.default_hooks.slow_steps), SlowStepsHook)
