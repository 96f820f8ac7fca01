"""The report of a GPU, on a CPU in small: what it must find, and what it must not be stopped by."""

import time
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from slow import slow

from mgfe_ris.apis import check_cuda
from mgfe_ris.apis.experiments.cuda import SECTIONS, broken_bounds, correctness, cuda_items, graphs, loop, speed
from mgfe_ris.apis.experiments.cuda.bench import Bench
from mgfe_ris.apis.experiments.cuda.draws import AllDouble, SameDraws
from mgfe_ris.apis.experiments.cuda.plan import Item, Skipped, work_off
from mgfe_ris.apis.experiments.small_models import importable
from mgfe_ris.tf32 import set_tf32, tf32_in_use

PROJECTS = Path(__file__).parents[3] / 'projects'
QUICK = (
    'lavt_tiny, float32',
    'steps of lavt_tiny',
    'graph of lavt_tiny',
    'test, 2, bf16',
    '7 sentences, bf16',
    'loop, 0 workers',
)
pytestmark = pytest.mark.usefixtures('one_thread')


@pytest.fixture
def bench(tmp_path):
    bench = Bench(torch.device('cpu'), PROJECTS, tmp_path, small=True)
    with importable(PROJECTS):
        correctness._expected.cache_clear()
        yield bench


def test_items_run_in_their_order_and_none_stops_the_others():
    def fail():
        raise ValueError('of two\nlines')

    def skip():
        raise Skipped('needs CUDA')

    saved = []
    items = [
        Item('a', 'last', lambda: dict(n=1), later=1),
        Item('a', 'fails', fail),
        Item('b', 'skips', skip),
        Item('b', 'hangs', partial(time.sleep, 60), most=0.2),
    ]
    report = work_off(items, 60, lambda found: saved.append(deepcopy(found['rows'])))
    (fails, last), (skips, hangs) = report['rows']['a'], report['rows']['b']
    assert fails['error'].startswith('ValueError: of two lines (test_cuda.py:') and fails['error'].endswith(', fail)')
    assert last['n'] == 1 and skips['skipped'] == 'needs CUDA' and hangs['error'] == 'given up after 0 s'
    assert [sum(map(len, rows.values())) for rows in saved] == [1, 2, 3, 4, 4] and not report['left_out']


def test_when_the_time_is_up_what_is_left_is_named():
    items = [Item('a', 'quick', dict), Item('a', 'hangs', partial(time.sleep, 60)), Item('b', 'waits', dict)]
    start = time.monotonic()
    report = work_off(items, 0.5, lambda found: None)
    assert time.monotonic() - start < 10
    assert [row['name'] for row in report['rows']['a']] == ['quick']
    assert report['left_out'] == dict(a=['hangs'], b=['waits'])


def test_settings_are_as_before():
    before, benchmark = tf32_in_use(), torch.backends.cudnn.benchmark

    def change():
        set_tf32(matmul=not before['matmul'], conv=not before['conv'])
        torch.backends.cudnn.benchmark = not benchmark
        raise ValueError

    work_off([Item('a', 'changes', change)], 60, lambda found: None)
    assert tf32_in_use() == before and torch.backends.cudnn.benchmark == benchmark


def test_draws_are_the_same_in_every_precision():
    def draw(dtype):
        like = torch.zeros(3, dtype=dtype)
        ids = torch.zeros(3, dtype=torch.long)
        with SameDraws():
            found = torch.rand_like(like), torch.randint_like(ids, 100), torch.empty_like(like).exponential_()
            return *found, torch.rand(2, 1, device='cpu'), torch.randperm(5, device='cpu')

    for one, other in zip(draw(torch.float32), draw(torch.float64), strict=True):
        assert torch.equal(one.double(), other.double()) and one.double().var() > 0


def test_all_is_double():
    with AllDouble():
        assert torch.ones(1, dtype=torch.uint8).float().dtype == torch.float64
        assert torch.full((2,), torch.finfo(torch.float64).min).dtype == torch.float64
        assert torch.full((2,), fill_value=0.5).dtype == torch.float64 and torch.full((2,), 3).dtype == torch.long


def test_every_family_is_there():
    names = Bench(torch.device('cpu'), PROJECTS, Path()).families()
    rivals = ('barleria', 'cgformer', 'cris', 'efn', 'etris', 'lts', 'magnet', 'rela', 'seqtr', 'vlt')
    assert {f'{name}_tiny' for name in ('lavt', 'mgfe-ris', *rivals)} <= names.keys()
    encoders = ('swin-base', 'convnext-base', 'vit-base-dino', 'clip-vit-b16', 'efficientnet-lite0_minilm', 'resnet-50')
    assert {f'mgfe-ris_{name}' for name in encoders} <= names.keys()


@pytest.mark.parametrize('cpu_is_wrong', [False, True])
def test_a_wrong_result_is_found(bench, monkeypatch, cpu_is_wrong):
    """What the CPU makes of it may move a bound, but not to anywhere."""
    runs = []
    examine = correctness.examine

    def wrong(model, *args, **kwargs):
        runs.append(model)
        if len(runs) == 2 or (len(runs) == 3 and cpu_is_wrong):  # the first one is float64
            model.decode_head.classify.weight.data *= 1.5
        return examine(model, *args, **kwargs)

    monkeypatch.setattr(correctness, 'examine', wrong)
    row = dict(correctness.compare(bench, 'lavt_tiny', 'float32'), name='lavt')
    assert len(runs) == 3 and not row['holds'] and row['logits'] > 1e-4 and row['counts_exact']
    assert broken_bounds(dict(rows=dict(correctness=[row]))) == ['correctness: lavt']


def test_no_number_is_within_no_bound():
    assert not correctness.within(dict(loss=float('nan')), dict(loss=1.0))
    assert correctness.within(dict(loss=0.5), dict(loss=1.0, logits=0.0))


def test_an_error_breaks_what_is_compared_and_what_must_not_wait():
    rows = {section: [dict(name='x', error='E')] for section in SECTIONS}
    assert broken_bounds(dict(rows=rows)) == ['correctness: x', 'waiting: x', 'compile: x']


def test_waiting_is_forbidden_in_steps_that_do_not_log(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, 'set_sync_debug_mode', modes.append)
    hook, runner = loop._NoWaiting(cuda=True), SimpleNamespace(train_dataloader=range(5))
    seen = []
    for i in range(5):
        hook.before_train_iter(runner, i)
        seen.append(modes[-1])
        hook.after_train_iter(runner, i)
        assert modes[-1] == 'default'
    assert seen == ['default', 'default', 'error', 'error', 'default'] and hook.steps == 2
    with pytest.raises(ValueError), loop.waiting_forbidden():
        assert modes[-1] == 'error'
        raise ValueError
    assert modes[-1] == 'default'


def test_what_does_not_fit_is_noted_and_the_others_are_measured(bench, monkeypatch):
    warm_up = speed.warm_up

    def short_of_memory(workload):
        if workload.name.startswith('naive'):
            raise torch.OutOfMemoryError('CUDA out of memory')
        return warm_up(workload)

    monkeypatch.setattr(speed, 'warm_up', short_of_memory)
    contenders = [('LAVT', speed.TF32), (speed.NAIVE, speed.TF32)]
    ours, naive = speed.measure(speed.Models(bench), 'test', 1, contenders)['models']
    assert naive['error'] == 'out of memory' and 'ms' not in naive
    assert ours['photos_per_second']['median'] > 0 and ours['times_naive'] == {}


@pytest.mark.parametrize('room', [5, 8, 40, 100, 511])
def test_the_largest_batch_is_found_to_an_eighth(bench, monkeypatch, room):
    monkeypatch.setattr(speed, '_fits', lambda models, name, batch: batch <= room)
    found = speed.largest_batch(SimpleNamespace(bench=SimpleNamespace(small=False)), 'LAVT')
    assert room * 7 / 8 - 1 <= found['largest'] <= room and not found['at_least']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('tpu', 1, None), 'device must be cpu or cuda'),
        (('cuda', 1, None), 'has no CUDA'),
        (('cpu', 0, None), 'minutes must be more than 0'),
        (('cpu', 1, ['fun']), 'no section fun; there are correctness, '),
    ],
)
def test_wrong_input_is_named(arguments, message, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        check_cuda(PROJECTS, *arguments)
    with pytest.raises(ValueError, match='no such folder'):
        check_cuda(PROJECTS / 'nowhere', 'cpu', 1)


def test_a_graph_of_ours_that_breaks_is_a_broken_bound(bench, monkeypatch):
    monkeypatch.setattr(graphs, 'counted', lambda: nullcontext(lambda: (2, {'a reason': 1})))
    ours, rival = (dict(graphs.count_graphs(bench, f'{name}_tiny'), name=name) for name in ('lavt', 'magnet'))
    assert ours['breaks'] == rival['breaks'] == {'a reason': 1}
    assert broken_bounds(dict(rows=dict(compile=[ours, rival]))) == ['compile: lavt']


@slow('half a minute')
def test_each_section_runs_on_a_cpu(bench):
    items = [replace(item, most=inf) for item in cuda_items(bench) if item.name in QUICK]  # on a busy machine, too
    assert {item.section for item in items} == set(SECTIONS) and len(items) == len(QUICK)
    report = work_off(items, 3000, lambda found: None)
    rows = {row['name']: row for found in report['rows'].values() for row in found}
    assert not [row for row in rows.values() if 'error' in row] and not broken_bounds(report)
    assert rows['lavt_tiny, float32']['holds'] and rows['lavt_tiny, float32']['kernels']
    assert rows['steps of lavt_tiny']['skipped'].startswith('needs CUDA')
    assert rows['graph of lavt_tiny'] == rows['graph of lavt_tiny'] | dict(graphs=1, breaks={})
    ours = next(one for one in rows['test, 2, bf16']['models'] if one['model'] == 'LAVT' and one['how'] == 'TF32')
    assert ours['times_naive'].keys() == {'bf16', 'TF32'} and ours['gflop'] > 0
    assert rows['7 sentences, bf16']['times']['median'] > 0
    assert rows['loop, 0 workers']['sentences_per_second'] > 0


@slow('4 minutes')
def test_every_family_is_near_float64(tmp_path):
    bench = Bench(torch.device('cpu'), PROJECTS, tmp_path)
    with importable(PROJECTS):
        items = [item for item in cuda_items(bench, ['correctness']) if item.name.endswith('float32')]
        items = [replace(item, most=inf) for item in items]
        assert len(items) == len(bench.families()) + len(bench.rows()) > 35
        report = work_off(items, 3000, lambda found: None)
    assert not broken_bounds(report), report
