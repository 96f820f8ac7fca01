"""How fast a model trains and segments, how much memory that takes, and how near it is to what the machine can do."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from statistics import median
from typing import Any, TypeVar

from torch.utils.data import DataLoader

from .flops import count_by_operator
from .machine import Clock, SquareProduct, clock_of, describe_machine, memory_in_use, memory_peak, reset_memory_peak
from .parts import Stopwatch, place_of, watched
from .workload import DTYPES, Workload

T = TypeVar('T')
WARM_UP = 2
MIN_SECONDS = 0.2
"""A repeat is as many steps as take about this long, so that what starting and stopping the clock costs is small."""


def measure_speed(workloads: Sequence[Workload], repeats: int = 5) -> dict[str, Any]:
    """Measure one model, or two of them in turn.

    Args:
        workloads: of one setting; the second one is what the first is compared with.
        repeats: of everything; of two models, as many pairs.

    Returns:
        what is printed and written as JSON. A measured number is a dict of ``median``, ``min`` and ``max``.

        - ``setting``, ``repeats``, ``machine``
        - ``product``: the square product, ``side``, ``dtype`` and ``gflops`` per second
        - ``models``: of each ``name``, what :func:`prepare` and :func:`rates` say, ``parts_ms`` (see
          :func:`time_parts`) and ``data_wait_percent`` (see :func:`wait_for_data`)
        - ``ratio``: seconds of the first over seconds of the second, also pair by pair (``pairs``); of two models only

    Raises:
        ValueError: no repeat.
    """
    if repeats < 1:
        raise ValueError(f'repeats must be 1 or more; got {repeats}')
    setting, device = workloads[0].setting, workloads[0].device
    now = clock_of(device)
    product = SquareProduct(device, DTYPES[setting.amp], now)
    models: list[dict[str, Any]] = [{'name': workload.name, **prepare(workload)} for workload in workloads]
    runs = [repeat_of(product, now), *(repeat_of(workload.step, now) for workload in workloads)]
    product_seconds, *seconds = in_turn(runs, repeats)
    product_rates = [product.flops / 1e9 / s for s in product_seconds]
    parts = time_parts(workloads, now, repeats)
    for workload, model, spent, spent_by in zip(workloads, models, seconds, parts, strict=True):
        model |= rates(spent, model['gflop'], product_rates, setting.batch, setting.sentences)
        model['parts_ms'] = {part: 1e3 * s for part, s in spent_by.items()}
        model['data_wait_percent'] = wait_for_data(workload, now, steps=4 * repeats)
    report = {
        'setting': {**asdict(setting), 'words': workloads[0].batch['token_ids'].shape[1]},
        'repeats': repeats,
        'machine': describe_machine(device),
        'product': {
            'side': product.side,
            'dtype': str(DTYPES[setting.amp]).removeprefix('torch.'),
            'gflops': spread(product_rates),
        },
        'models': models,
    }
    if len(seconds) == 2:
        pairs = [ours / theirs for ours, theirs in zip(*seconds, strict=True)]
        report['ratio'] = {**spread(pairs), 'pairs': pairs}
    return report


def prepare(workload: Workload) -> dict[str, float]:
    """Bring a model to the device, warm it up, and find out what needs no second one to compare with.

    Returns:
        ``gflop``: of a step, see :func:`count_flops`. ``peak_memory_mib``: of a step, over what was in use before; on
        CUDA what torch allocates, weights included, on a CPU the resident set, without the weights, which lay there.
    """
    before = memory_in_use(workload.device)
    workload.start()
    flops = count_flops(workload.eager_step)
    workload.step()  # compiles
    reset_memory_peak(workload.device)
    for _ in range(WARM_UP):
        workload.step()
    peak = memory_peak(workload.device) - before
    return {'gflop': flops / 1e9, 'peak_memory_mib': peak / 2**20}


def rates(
    seconds: Sequence[float], gflop: float, product_rates: Sequence[float], photos: int, sentences: int
) -> dict[str, Any]:
    """Seconds per step, one per repeat -> everything that follows from them.

    Args:
        seconds: of a step of ``photos`` photos with ``sentences`` sentences each.
        gflop: of a step.
        product_rates: GFLOP/s of the square product beside each repeat.
    """
    return {
        'ms_per_step': spread([1e3 * s for s in seconds]),
        'photos_per_second': spread([photos / s for s in seconds]),
        'sentences_per_second': spread([photos * sentences / s for s in seconds]),
        'gflops': spread([gflop / s for s in seconds]),
        'percent_of_product': spread([100 * gflop / s / p for s, p in zip(seconds, product_rates, strict=True)]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {'median': median(values), 'min': min(values), 'max': max(values)}


def count_flops(step: Callable[[], object]) -> float:
    """Floating point operations, two per multiply-accumulate, of every matrix product and convolution of a step."""
    return sum(count_by_operator(step).values())


def repeat_of(step: Callable[[], object], now: Clock, least: float | None = None) -> Callable[[], float]:
    """A function that takes a step, warmed up, as often as fills ``least`` seconds, and returns the seconds of one.

    ``least`` is ``MIN_SECONDS``, unless it is given.
    """
    start = now()
    step()
    count = max(1, round((MIN_SECONDS if least is None else least) / max(now() - start, 1e-9)))

    def run() -> float:
        start = now()
        for _ in range(count):
            step()
        return (now() - start) / count

    return run


def in_turn(runs: Sequence[Callable[[], T]], repeats: int) -> list[list[T]]:
    """Call A, B, C, then C, B, A, ..., so that a machine that grows slower treats all alike -> results of each."""
    results: list[list[T]] = [[] for _ in runs]
    for repeat in range(repeats):
        order = list(zip(runs, results, strict=True))
        for run, result in reversed(order) if repeat % 2 else order:
            result.append(run())
    return results


def median_ms(workloads: Sequence[Workload], repeats: int) -> list[float]:
    """Of a step of each, in turn; milliseconds."""
    for workload in workloads:
        workload.start()
        workload.step()  # warms up
    runs = [repeat_of(workload.step, clock_of(workload.device)) for workload in workloads]
    return [1e3 * median(seconds) for seconds in in_turn(runs, repeats)]


def time_parts(workloads: Sequence[Workload], now: Clock, repeats: int) -> list[dict[str, float]]:
    """Median seconds of each part of a step, see :func:`watched`, of models in turn; what is compiled, is not here.

    On CUDA a watched step waits for the device at every border between parts, so it takes longer than others.
    """
    rows = in_turn([partial(_watched_step, workload, now) for workload in workloads], repeats)
    return [{part: median(step[part] for step in steps) for part in sorted(steps[0], key=place_of)} for steps in rows]


def _watched_step(workload: Workload, now: Clock) -> dict[str, float]:
    watch = Stopwatch(now)
    with watched(workload.model, workload.optim, watch):
        watch.start()
        workload.eager_step()
        return watch.stop()


def wait_for_data(workload: Workload, now: Clock, steps: int) -> float | None:
    """Percent of a loop's time in which the device waits for the next batch; None without a loader.

    The loop waits for the device before it asks for a batch; the loader's workers work on meanwhile.
    """
    if workload.loader is None:
        return None
    batches = _forever(workload.loader)
    workload.step(workload.model.data_preprocessor(next(batches)))  # the workers start
    waited, begin = 0.0, now()
    for _ in range(steps):
        asked = now()
        batch = next(batches)
        waited += now() - asked
        workload.step(workload.model.data_preprocessor(batch))
    return 100 * waited / (now() - begin)


def _forever(loader: DataLoader) -> Iterator[dict]:
    while True:
        yield from loader
