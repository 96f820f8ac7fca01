"""Speeds, against a clock and costs that are known."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from slow import slow
from torch import nn

from mgfe_ris.apis import build_model, load_config
from mgfe_ris.profiling import Setting, Workload, machine, measure_speed, speed
from mgfe_ris.profiling.parts import REST, Stopwatch

SIZE = (32, 32)
COSTS = {'text_encoder': 1, 'neck.attention.0': 10, 'neck.attention.2': 20, 'neck.refine.3': 400}
COSTS |= {'neck.weigh.1': 5000, 'encoder.layer1': 7, 'encoder.layer4': 9, 'decode_head': 11, 'loss_function': 13}
PARTS = {'text': 1, 'fusion: attention': 30, 'fusion: refine': 400, 'fusion: weigh': 5000}
PARTS |= {'stage 1': 7, 'stage 2': 0, 'stage 3': 0, 'stage 4': 9, 'fusion: other': 0, 'decode head': 11}


class FakeClock:
    """Seconds pass only where somebody spends them."""

    def __init__(self):
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    def spend(self, seconds: float) -> None:
        self.time += seconds


def costly(clock: FakeClock, function, seconds: float):
    def call(*args, **kwargs):
        clock.spend(seconds)
        return function(*args, **kwargs)

    return call


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def workload(small_model, one_thread):
    def build(loader=None, **setting) -> Workload:
        cfg = load_config('mgfe-ris_tiny_refshapes', small_model, from_scratch=True)
        return Workload(build_model(cfg), Setting(size=SIZE, **setting), loader)

    return build


def test_parts_of_parts_count_once(clock):
    watch = Stopwatch(clock)
    for seconds, act in [(1, lambda: watch.enter('a')), (2, lambda: watch.enter('b')), (4, watch.leave)]:
        clock.spend(seconds)
        act()
    clock.spend(8)
    watch.leave()
    clock.spend(16)
    assert watch.stop() == {REST: 17, 'a': 10, 'b': 4}
    watch.start()
    clock.spend(3)
    assert watch.stop() == {REST: 3}


@pytest.mark.parametrize('mode', ['train', 'test'])
def test_each_part_of_a_step_gets_its_own_time(workload, clock, monkeypatch, mode):
    w = workload(mode=mode, batch=2)
    w.start()
    modules = [(w.model.get_submodule(name), 'forward', seconds) for name, seconds in COSTS.items()]
    methods = [(OptimWrapper, 'backward', 100), (OptimWrapper, 'step', 100), (type(w.model), 'segment', 0.5)]
    for owner, name, seconds in modules + methods:
        monkeypatch.setattr(owner, name, costly(clock, getattr(owner, name), seconds))
    expected = PARTS | {REST: 0.5}
    if mode == 'train':
        expected |= {'loss': 13, 'backward': 100, 'optimiser': 100}
    start = clock()
    (parts,) = speed.time_parts([w], clock, repeats=3)
    assert parts == expected
    assert sum(parts.values()) == pytest.approx((clock() - start) / 3)
    assert list(parts)[:6] == ['text', 'stage 1', 'stage 2', 'stage 3', 'stage 4', 'fusion: other']
    spent = clock()
    w.step()
    assert clock() - spent == pytest.approx(sum(expected.values())), 'nothing is watched any more'
    assert 'bind' not in vars(w.model.neck) and not w.model.decode_head._forward_hooks


def test_a_model_of_another_shape_is_told_by_its_modules(clock, monkeypatch, one_thread):
    project = Path(__file__).parents[2] / 'projects/cris'
    monkeypatch.syspath_prepend(project)
    model = build_model(load_config(project / 'cris_tiny_refshapes.py'))
    w = Workload(model, Setting(mode='train', batch=2, size=(64, 64)))
    w.start()
    costs = dict(text_encoder=1, encoder=2, neck=4, decoder=8, projector=16, loss_function=32)
    for name, seconds in costs.items():
        module = w.model.get_submodule(name)
        monkeypatch.setattr(module, 'forward', costly(clock, module.forward, seconds))
    (parts,) = speed.time_parts([w], clock, repeats=1)
    told = {'text': 1, 'part: encoder': 2, 'part: neck': 4, 'part: decoder': 8, 'part: projector': 16, 'loss': 32}
    assert parts == told | {'backward': 0, 'optimiser': 0, REST: 0}


@pytest.mark.parametrize('name', ['cgformer', 'magnet', 'rela'])
def test_a_training_that_would_not_be_compiled_is_refused(name, monkeypatch, one_thread):
    """Its losses are of what lies inside of the model, which it does not get from ``segment``."""
    project = Path(__file__).parents[2] / 'projects' / name
    monkeypatch.syspath_prepend(project)
    model = build_model(load_config(project / f'{name}_tiny_refshapes.py'))
    with pytest.raises(ValueError, match=r'does not call its segment.*measure it without --compile') as refused:
        Workload(model, Setting(mode='train', compile=True, size=(64, 64)))
    assert '\n' not in str(refused.value)
    Workload(model, Setting(compile=True, size=(64, 64)))
    Workload(model, Setting(mode='train', size=(64, 64)))


def test_a_training_that_is_compiled_begins_anew(workload):
    """What finds out that it calls ``segment`` leaves nothing behind."""
    w = workload(mode='train', compile=True)
    assert 'segment' not in vars(w.model) and torch.is_tensor(w.model(**w.batch))


def test_rates_by_hand():
    r = speed.rates([0.5, 0.25, 1.0], gflop=3.0, product_rates=[60.0, 48.0, 10.0], photos=2, sentences=5)
    assert r['ms_per_step'] == {'median': 500, 'min': 250, 'max': 1000}
    assert r['photos_per_second'] == {'median': 4, 'min': 2, 'max': 8}
    assert r['sentences_per_second'] == {'median': 20, 'min': 10, 'max': 40}
    assert r['gflops'] == {'median': 6, 'min': 3, 'max': 12}
    assert r['percent_of_product'] == pytest.approx({'median': 25, 'min': 10, 'max': 30})


@pytest.mark.parametrize(('seconds', 'steps'), [(0.03, 7), (0.1, 2), (30.0, 1)])
def test_a_repeat_is_long_enough_for_a_clock(clock, seconds, steps):
    calls = []

    def step():
        calls.append(clock.spend(seconds))

    run = speed.repeat_of(step, clock)
    calls.clear()
    assert run() == pytest.approx(seconds)
    assert len(calls) == steps


def test_turns_are_turned_around():
    order = []
    results = speed.in_turn([lambda: order.append('a') or 1, lambda: order.append('b') or 2], repeats=3)
    assert order == ['a', 'b', 'b', 'a', 'a', 'b']
    assert results == [[1, 1, 1], [2, 2, 2]]


def test_flops_by_hand():
    layer, x = nn.Linear(8, 16), torch.randn(4, 8)
    assert speed.count_flops(lambda: layer(x)) == 2 * 4 * 8 * 16
    # the photo needs no gradient: forward and the weight's
    assert speed.count_flops(lambda: layer(x).sum().backward()) == 2 * 2 * 4 * 8 * 16
    convolution, image = nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.randn(2, 3, 6, 7)
    assert speed.count_flops(lambda: convolution(image)) == 2 * 2 * 6 * 7 * 5 * 3 * 9


def test_fused_attention_counts_as_what_it_computes():
    q, k, v = (torch.randn(2, 3, n, 16, requires_grad=True) for n in (10, 6, 6))
    forward = 2 * 2 * (2 * 3 * 10 * 6 * 16)

    def plain():
        return ((q @ k.transpose(-1, -2)) / math.sqrt(16)).softmax(-1) @ v

    for attention in (lambda: F.scaled_dot_product_attention(q, k, v), plain):
        assert speed.count_flops(attention) == forward
        assert speed.count_flops(lambda run=attention: run().sum().backward()) == 3 * forward


def test_data_wait(workload, clock):
    class Loader(list):
        def __iter__(self):
            for batch in super().__iter__():
                clock.spend(3)
                yield batch

    w = workload(Loader([{}]))
    w.step = costly(clock, lambda batch: None, 1)
    w.model.data_preprocessor.forward = lambda batch: batch
    assert speed.wait_for_data(w, clock, steps=5) == 75
    assert speed.wait_for_data(workload(), clock, steps=5) is None


MEMORY = """
import torch
from mgfe_ris.profiling import machine
device = torch.device('cpu')
before = machine.memory_in_use(device)
machine.reset_memory_peak(device)
torch.ones(2**24)  # 64 MiB
peak = machine.memory_peak(device)
machine.reset_memory_peak(device)
print((peak - before) / 2**20, (machine.memory_peak(device) - before) / 2**20)
"""


@slow('10 s')
def test_memory_of_a_step():
    """In a process of its own: what others left behind would be taken for free."""
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', MEMORY], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    peak, forgotten = map(float, done.stdout.split()[-2:])
    if math.isnan(peak):
        pytest.skip('this system does not tell')
    assert 60 < peak < 100 and forgotten < 30


def test_the_square_product_is_large_enough(clock):
    class Slow(machine.SquareProduct):
        def __call__(self):
            clock.spend(self.side**3 / 1e9)

    product = Slow(torch.device('cpu'), torch.float32, clock)
    assert (product.side, product.flops) == (512, 2 * 512**3)


@pytest.mark.parametrize('mode', ['train', pytest.param('test', marks=slow('10 s'))])
def test_a_whole_report(workload, monkeypatch, mode):
    monkeypatch.setattr(speed, 'MIN_SECONDS', 0.0)
    setting = dict(mode=mode, batch=2, words=5, sentences=1 if mode == 'train' else 3, amp='bf16')
    workloads = [workload(**setting), workload(**setting, text=False)]
    weights = [workload.model.decode_head.classify.weight.detach().clone() for workload in workloads]
    report = measure_speed(workloads, repeats=3)
    json.dumps(report)
    assert report['setting']['words'] == 5 and report['product']['dtype'] == 'bfloat16'
    ours, without_text = report['models']
    assert ours['gflop'] > without_text['gflop'] > 0
    for model in report['models']:
        sentences, photos = model['sentences_per_second'], model['photos_per_second']
        assert sentences['median'] == pytest.approx(photos['median'] * setting['sentences'])
        assert photos['median'] == pytest.approx(2e3 / model['ms_per_step']['median'])
        assert model['gflops']['median'] == pytest.approx(1e3 * model['gflop'] / model['ms_per_step']['median'])
        assert all(value >= 0 for value in model['parts_ms'].values())
        assert ('backward' in model['parts_ms']) == (mode == 'train')
    pairs = report['ratio']['pairs']
    assert len(pairs) == 3 and sorted(pairs)[1] == report['ratio']['median']
    changed = [
        not torch.equal(old, workload.model.decode_head.classify.weight)
        for old, workload in zip(weights, workloads, strict=True)
    ]
    assert changed == [mode == 'train'] * 2, 'training trains'


def test_compiled_but_for_the_parts(workload, monkeypatch):
    compiled, eager = [], []

    def segment(*args):
        eager.append(1)
        return torch.zeros(1, 2, *SIZE)

    w = workload(compile=True)
    monkeypatch.setattr(type(w.model), 'segment', lambda self, *args: segment())
    monkeypatch.setattr(torch, 'compile', lambda function: lambda *args: compiled.append(1) or torch.zeros(1, 2, *SIZE))
    tokenizer = w.model.data_preprocessor.tokenizer
    assert tokenizer.trim
    speed.prepare(w)
    assert not tokenizer.trim, 'sentences of a loader have one length'
    assert len(compiled) == 1 + speed.WARM_UP and len(eager) == 1
    speed.time_parts([w], machine.clock_of(w.device), repeats=4)
    assert len(compiled) == 1 + speed.WARM_UP and len(eager) == 5


def test_sentences_share_their_photo(workload):
    batch = workload(batch=2, sentences=3, words=4).batch
    photos = batch['inputs']
    assert photos.shape == (6, 3, *SIZE) and batch['token_ids'].shape == batch['word_mask'].shape == (6, 4)
    assert torch.equal(photos[0], photos[2]) and not torch.equal(photos[2], photos[3])


def test_sentences_of_one_photo_together_and_one_by_one(workload):
    torch.manual_seed(0)
    together = workload(sentences=3, words=4)
    alone = Workload(together.model, replace(together.setting, one_by_one=True))
    alone.batch = together.batch
    calls = []
    together.model.encoder.register_forward_pre_hook(lambda module, args: calls.append(len(args[0])))
    for work in (together, alone):
        work.start()
    assert torch.equal(together.step(), alone.step()) and calls == [1] * 4
    assert alone.name.endswith(', one by one')


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(one_by_one=True, batch=2), 'of one photo, in mode test; got 2 in test'),
        (dict(mode='fit'), "mode must be 'train' or 'test'; got 'fit'"),
        (dict(device='tpu'), "device must be 'cpu' or 'cuda'"),
        (dict(amp='fp8'), "amp must be 'bf16' or 'fp16'"),
        (dict(mode='train', amp='fp16'), 'use bf16'),
        (dict(mode='train', sentences=2), 'one sentence per photo, not 2'),
        (dict(batch=0), 'batch must be 1 or more; got 0'),
        (dict(words=0), 'words must be 1 or more; got 0'),
        (dict(size=(0, 8)), 'size must be'),
    ],
)
def test_settings_that_cannot_be(setting, message):
    with pytest.raises(ValueError, match=message):
        Setting(**setting)


def test_errors_before_anything_is_measured(workload):
    with pytest.raises(ValueError, match='cannot take sentences of 40 words'):
        workload(words=40)
    with pytest.raises(ValueError, match='fewer samples than one batch'):
        workload(loader=[])
    with pytest.raises(ValueError, match='repeats must be 1 or more; got 0'):
        measure_speed([workload()], repeats=0)
