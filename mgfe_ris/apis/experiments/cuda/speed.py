"""How fast ours and the plain LAVT segment and train, in turn, and how much memory that takes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from ....models.shapes_only import build_shapes
from ....profiling import Setting, Workload, trace_memory
from ....profiling.kernels import kernels_of
from ....profiling.machine import SquareProduct, clock_of, memory_in_use, memory_peak, reset_memory_peak
from ....profiling.peaks import known_peak
from ....profiling.speed import count_flops, in_turn, repeat_of, spread
from ....profiling.workload import DTYPES
from ....tf32 import set_tf32
from ...config import input_size, load_config
from ...model import build_model
from ..small_models import SMALLER_TINY
from .bench import Bench
from .plan import Item, free_memory

SECTION = 'speed'
OURS = ('LAVT', 'MGFE-RIS')
NAIVE = 'naive LAVT'
CONFIGS = {'LAVT': 'lavt', 'MGFE-RIS': 'mgfe-ris'}
REPEATS = 5
AIM_BATCH = 8


@dataclass(frozen=True)
class How:
    """In which numbers, and by which of the options of a config."""

    name: str
    amp: str | None = None
    compile: bool = False
    channels_last: bool = False


TF32, BF16 = How('TF32'), How('bf16', 'bf16')
COMPILED = How('bf16, compiled', 'bf16', compile=True)
CHANNELS_LAST = How('bf16, channels-last', 'bf16', channels_last=True)


@dataclass
class Models:
    """The models at full size, with random weights, on the CPU until they are measured; built when they are first asked
    for. Of the device's float32, products and convolutions are TF32."""

    bench: Bench
    _built: dict[tuple[str, bool], Any] = field(default_factory=dict)
    _gflop: dict[tuple[str, str], float] = field(default_factory=dict)

    def config(self, name: str) -> Any:
        kind = 'tiny_refshapes' if self.bench.small else 'swin-base_refcoco'
        path = self.bench.naive_config if name == NAIVE else f'{CONFIGS[name]}_{kind}'
        return load_config(path, SMALLER_TINY if self.bench.small else None, from_scratch=True)

    def get(self, name: str, channels_last: bool = False) -> Any:
        if (name, channels_last) not in self._built:
            # another one, for who is measured beside it
            model = deepcopy(self.get(name)) if channels_last else build_model(self.config(name))
            model.lay_out(channels_last)
            self._built[name, channels_last] = model
        return self._built[name, channels_last]

    def size(self) -> tuple[int, int]:
        return (32, 32) if self.bench.small else input_size(self.config(OURS[0]))

    @contextmanager
    def workloads(self, contenders: Sequence[tuple[str, How]], mode: str, **setting: Any) -> Iterator[list[Workload]]:
        """Of each contender one; after it all lie on the CPU again."""
        set_tf32(matmul=True, conv=True)
        torch.backends.cudnn.benchmark = True  # as in training; photos have one size
        torch._dynamo.reset()
        for model in self._built.values():  # what was given up may have left one there
            _put_back(model)
        made = []
        try:
            for name, how in contenders:
                model = self.get(name, how.channels_last)
                model.lay_out(compile=self._compile if how.compile else False)
                full = Setting(mode, size=self.size(), device=self.bench.device.type, amp=how.amp, **setting)
                made.append(Workload(model, full))
            yield made
        finally:
            made.clear()
            for name, how in contenders:
                _put_back(self.get(name, how.channels_last))
            torch._dynamo.reset()
            free_memory()

    @property
    def least(self) -> float | None:
        """Seconds of a repeat, see :func:`repeat_of`."""
        return 0.0 if self.bench.small else None

    @property
    def _compile(self) -> bool | dict[str, str]:
        return dict(backend='eager') if self.bench.small else True

    def gflop(self, name: str, workload: Workload) -> float:
        """Of a step; counted once for a photo."""
        key = name, workload.setting.mode
        if key not in self._gflop:
            self._gflop[key] = count_flops(workload.eager_step) / 1e9 / workload.setting.batch
        return self._gflop[key] * workload.setting.batch


def _put_back(model: Any) -> None:
    vars(model).pop('segment', None)  # what compiles
    model.zero_grad(set_to_none=True)
    model.to('cpu')


def speed_items(models: Models) -> Iterator[Item]:
    """What the aims ask for first."""
    first, *others = (2,) if models.bench.small else (AIM_BATCH, 1, 32)
    for mode in ('train', 'test'):
        yield _cell(models, mode, first, BF16, TF32)
    for mode in ('train', 'test'):
        yield Item(SECTION, f'kernels, {mode}', partial(kernels, models, mode, first), most=60)
    for name in OURS[: 1 if models.bench.small else None]:
        run = partial(memory, models, name, first)
        yield Item(SECTION, f'memory, {name}', run, later=int(name != OURS[0]), most=90)
    for batch in others:
        for mode in ('train', 'test'):
            yield _cell(models, mode, batch, BF16, TF32)
    yield Item(SECTION, f'largest batch, {OURS[0]}', partial(largest_batch, models, OURS[0]), later=1, most=90)
    if models.bench.small:
        return
    yield _cell(models, 'train', first, COMPILED, BF16, names=OURS[:1], later=1)
    for mode in ('train', 'test'):
        yield _cell(models, mode, first, CHANNELS_LAST, BF16, later=1)
    yield Item(SECTION, f'largest batch, {NAIVE}', partial(largest_batch, models, NAIVE), later=2, most=90)
    yield _cell(models, 'test', first, COMPILED, BF16, names=OURS[:1], later=2)
    yield _cell(models, 'train', first, COMPILED, BF16, names=OURS[1:], later=2)
    for batch in others:
        yield _cell(models, 'train', batch, COMPILED, BF16, names=OURS[:1], later=2)
        yield _cell(models, 'train', batch, COMPILED, BF16, names=OURS[1:], later=3)
        yield _cell(models, 'test', batch, COMPILED, BF16, later=3)
        for mode in ('train', 'test'):
            yield _cell(models, mode, batch, CHANNELS_LAST, BF16, later=3)
    yield _cell(models, 'test', first, COMPILED, BF16, names=OURS[1:], later=3)


def _cell(
    models: Models, mode: str, batch: int, how: How, plain: How, names: Sequence[str] = OURS, later: int = 0
) -> Item:
    """Ours in one way, and in the plain one; the naive one in the plain numbers of both."""
    contenders = [*((name, how) for name in names), *((name, plain) for name in names)]
    contenders += [(NAIVE, one) for one in dict.fromkeys((BF16, TF32))]
    run = partial(measure, models, mode, batch, contenders)
    return Item(SECTION, f'{mode}, {batch}, {how.name}', run, later=later, most=420)


def measure(models: Models, mode: str, batch: int, contenders: Sequence[tuple[str, How]]) -> Mapping[str, Any]:
    """A row: ``mode``, ``batch``, ``product`` (TFLOP/s by numbers), and ``models``, of each contender ``model``,
    ``how``, and numbers, or ``error``, where the batch does not fit.

    Numbers are spreads (``median``, ``min``, ``max``) of pairs, all contenders in turn: ``ms``, ``photos_per_second``,
    ``tflops``, ``percent_of_product``, ``percent_of_peak`` (by the maker's data sheet, where it is known), and
    ``times_naive``, by the numbers of the naive one: how many times its photos per second; also ``gflop`` of a step and
    ``step_mib``, what a step takes beside weights and moments.
    """
    device, now = models.bench.device, clock_of(models.bench.device)
    with models.workloads(contenders, mode, batch=batch) as workloads:
        rows: list[dict[str, Any]] = [dict(model=name, how=how.name) for name, how in contenders]
        fitting = []
        for (name, how), workload, row in zip(contenders, workloads, rows, strict=True):
            if (found := _or_none(partial(warm_up, workload))) is not None:
                row |= dict(step_mib=found[0], gflop=models.gflop(name, workload))
                fitting.append((name, how, workload, row))
            else:
                _leave_out(workload, row)
        for contender in list(fitting):  # once more, beside the weights and moments of the others
            if _or_none(contender[2].step) is None:
                _leave_out(*contender[2:])
                fitting.remove(contender)
        products = {how.amp: SquareProduct(device, DTYPES[how.amp], now) for _, how, _, _ in fitting}
        steps: list[Callable[[], object]] = [*products.values(), *(workload.step for _, _, workload, _ in fitting)]
        runs = [repeat_of(step, now, least=models.least) for step in steps]
        seconds = in_turn(runs, 2 if models.bench.small else REPEATS)
    rates = {
        amp: [product.flops / 1e12 / s for s in spent]
        for (amp, product), spent in zip(products.items(), seconds, strict=False)
    }
    spent_by = {(name, how.name): s for (name, how, _, _), s in zip(fitting, seconds[len(products) :], strict=True)}
    for name, how, _, row in fitting:
        spent = spent_by[name, how.name]
        row |= _numbers(spent, row['gflop'], batch, rates[how.amp], _peak(device, how))
        if name != NAIVE:
            naive = {one: s for (other, one), s in spent_by.items() if other == NAIVE}
            row['times_naive'] = {
                one: spread([a / b for a, b in zip(theirs, spent, strict=True)]) for one, theirs in naive.items()
            }
    product = {amp or 'tf32': spread(values) for amp, values in rates.items()}
    return dict(mode=mode, batch=batch, product=product, models=rows)


def warm_up(workload: Workload) -> tuple[float, float]:
    """Bring it to the device, and compile it -> MiB at the peak of a step: of the step alone, and with what stays
    between steps, weights and moments."""
    before = memory_in_use(workload.device)
    workload.start()
    for _ in range(2):
        workload.step()
    between = memory_in_use(workload.device)
    reset_memory_peak(workload.device)
    workload.step()
    peak = memory_peak(workload.device)
    return (peak - between) / 2**20, (peak - before) / 2**20


def _numbers(
    seconds: Sequence[float], gflop: float, batch: int, product: Sequence[float], peak: float | None
) -> dict[str, Any]:
    tflops = [gflop / 1e3 / s for s in seconds]
    return dict(
        ms=spread([1e3 * s for s in seconds]),
        photos_per_second=spread([batch / s for s in seconds]),
        tflops=spread(tflops),
        percent_of_product=spread([100 * t / p for t, p in zip(tflops, product, strict=True)]),
        percent_of_peak=spread([100 * t / peak for t in tflops]) if peak else None,
    )


def _peak(device: torch.device, how: How) -> float | None:
    return known_peak(torch.cuda.get_device_name(device), how.amp or 'tf32') if device.type == 'cuda' else None


def kernels(models: Models, mode: str, batch: int) -> Mapping[str, Any]:
    """A row: ``kernels`` of a step of LAVT in bf16, see :func:`kernels_of`."""
    with models.workloads([(OURS[0], BF16)], mode, batch=batch) as (workload,):
        warm_up(workload)
        return dict(kernels=kernels_of(workload.step, models.bench.device))


def memory(models: Models, name: str, batch: int) -> Mapping[str, Any]:
    """A row: GiB at the peak of a training step in bf16, ``measured_gib`` and ``traced_gib`` ahead."""
    cfg = models.config(name)
    shapes: Any = build_shapes(lambda: build_model(cfg))
    words = shapes.data_preprocessor.tokenizer.max_tokens
    traced = trace_memory(shapes, batch, models.size(), words, BF16.amp)
    with models.workloads([(name, BF16)], 'train', batch=batch) as (workload,):
        _, measured = warm_up(workload)
    return dict(model=name, batch=batch, traced_gib=traced.peak, measured_gib=measured / 1024)


def largest_batch(models: Models, name: str) -> Mapping[str, Any]:
    """A row: ``largest``, the photos with which a training step in bf16 fits; ``at_least``, if the search ended before
    it was found."""
    most = 4 if models.bench.small else 512
    fits, too_many, found = 0, None, False
    batch = 1 if models.bench.small else AIM_BATCH
    end = time.monotonic() + 60
    while batch <= most and batch > fits and time.monotonic() < end:
        if _fits(models, name, batch):
            fits = batch
            batch = 2 * batch if too_many is None else (fits + too_many) // 2
        else:
            too_many = batch
            batch = (fits + too_many) // 2
        if too_many is not None and too_many - fits <= max(1, fits // 8):
            found = True
            break
    return dict(model=name, largest=fits, at_least=not found)


def _fits(models: Models, name: str, batch: int) -> bool:
    with models.workloads([(name, BF16)], 'train', batch=batch) as (workload,):
        return _or_none(partial(warm_up, workload)) is not None


def _leave_out(workload: Workload, row: dict[str, Any]) -> None:
    row['error'] = 'out of memory'
    workload.optim = None
    workload.model.zero_grad(set_to_none=True)
    free_memory()


def _or_none(run: Callable[[], Any]) -> Any:
    """None: out of memory. The error is gone after it, and with it what its frames held."""
    try:
        return run()
    except torch.OutOfMemoryError:
        return None
