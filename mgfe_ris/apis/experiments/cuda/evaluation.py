"""The evaluation loop: several sentences about a photo at once, how busy the device is, and what the loader costs."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope

from ....data_parts import with_changed_parts
from ....datasets.synthetic import write_refshapes
from ....engine import RISRunner
from ....profiling import Setting, Workload
from ....profiling.kernels import device_seconds
from ....profiling.machine import clock_of
from ....profiling.speed import in_turn, repeat_of, spread
from ....profiling.workload import DTYPES
from .bench import NEEDS_CUDA, Bench
from .plan import Item
from .speed import AIM_BATCH, BF16, OURS, REPEATS, TF32, How, Models, warm_up

SECTION = 'evaluation'
SENTENCES = 7
PROFILED = 15
"""Batches, at most: a profiler takes long to read what it has seen."""


def evaluation_items(models: Models) -> Iterator[Item]:
    bench = models.bench
    yield Item(SECTION, f'{SENTENCES} sentences, bf16', partial(several_sentences, models, OURS[0], BF16), most=60)
    yield Item(SECTION, 'busy, train', partial(busy, models, 'train'), most=60)
    yield Item(SECTION, 'busy, test', partial(busy, models, 'test'), most=60)
    for workers in (0,) if bench.small else (4, 8):
        for pin in (True, False) if bench.cuda else (False,):
            name = f'loop, {workers} workers' + ', pinned' * pin
            yield Item(SECTION, name, partial(evaluate, models, workers, pin), most=90)
    for name, how in () if bench.small else ((OURS[1], BF16), (OURS[0], TF32)):
        run = partial(several_sentences, models, name, how)
        yield Item(SECTION, f'{SENTENCES} sentences, {name}, {how.name}', run, later=2, most=60)


def several_sentences(models: Models, name: str, how: How) -> Mapping[str, Any]:
    """A row: ``ms`` of a photo with all its sentences at once and ``ms_one_by_one``, and ``times``, how many times as
    fast that is, of pairs in turn."""
    now = clock_of(models.bench.device)
    with models.workloads([(name, how)], 'test', sentences=SENTENCES) as (together,):
        setting = together.setting
        alone = Workload(
            together.model,
            Setting(setting.mode, 1, SENTENCES, setting.size, device=setting.device, amp=setting.amp, one_by_one=True),
        )
        for workload in (together, alone):
            warm_up(workload)
        runs = [repeat_of(workload.step, now, least=models.least) for workload in (together, alone)]
        at_once, each = in_turn(runs, 2 if models.bench.small else REPEATS)
    return dict(
        model=name,
        how=how.name,
        ms=spread([1e3 * s for s in at_once]),
        ms_one_by_one=spread([1e3 * s for s in each]),
        times=spread([b / a for a, b in zip(at_once, each, strict=True)]),
    )


def busy(models: Models, mode: str) -> Mapping[str, Any]:
    """A row: ``busy_percent`` of the time of steps of LAVT in bf16, in which the device computed: what a profiler sees
    of its kernels, over the time that the same steps take without one."""
    now = clock_of(models.bench.device)
    batch = 2 if models.bench.small else AIM_BATCH
    with models.workloads([(OURS[0], BF16)], mode, batch=batch) as (workload,):
        warm_up(workload)

        def steps() -> None:
            for _ in range(5):
                workload.step()

        start = now()
        steps()
        seconds = now() - start
        return dict(batch=batch, ms=1e3 * seconds / 5, busy_percent=_share(steps, seconds, models.bench))


def _share(run: Any, seconds: float, bench: Bench) -> float | str:
    return 100 * device_seconds(run, bench.device) / seconds if bench.cuda else NEEDS_CUDA


def evaluate(models: Models, workers: int, pin: bool) -> Mapping[str, Any]:
    """A row of the loop of a test of LAVT in bf16, on drawn photos, with the loader and the metric of its config:
    ``batches``, ``sentences``, ``sentences_per_second``, ``loader_percent`` of the time waited for the
    loader, and ``busy_percent``, see :func:`busy`."""
    bench = models.bench
    loader, cfg = _loader(models, workers, pin)
    with models.workloads([(OURS[0], BF16)], 'test') as (workload,):
        workload.start()
        evaluator = Evaluator(cfg.test_evaluator)
        test = partial(_test, workload.model, evaluator, bench.device)
        batches = iter(loader)
        test([next(batches)])  # the workers are there
        count, sentences, waited = 0, 0, 0.0
        now = clock_of(bench.device)
        start = now()
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            test([batch])
            count, sentences = count + 1, sentences + len(batch['inputs'])
        seconds = now() - start
        few = min(count, PROFILED)
        busy_percent = _share(lambda: test(islice(iter(loader), 1, 1 + few)), seconds * few / count, bench)
        del batches
    return dict(
        workers=workers,
        pinned=pin,
        batches=count,
        sentences=sentences,
        sentences_per_second=sentences / seconds,
        loader_percent=100 * waited / seconds,
        busy_percent=busy_percent,
    )


def _test(model: Any, evaluator: Evaluator, device: torch.device, batches: Iterable[dict]) -> None:
    for batch in batches:
        with torch.no_grad(), torch.autocast(device.type, DTYPES[BF16.amp]):
            samples = model.test_step(batch)
        evaluator.process(data_samples=samples, data_batch=batch)


def _loader(models: Models, workers: int, pin: bool) -> tuple[Any, Any]:
    """The loader of LAVT's test, over all drawn photos of the training split, and the config."""
    bench, cfg = models.bench, models.config(OURS[0])
    size = 64 if bench.small else 480
    root, images = bench.scratch / f'photos{size}', 10 if bench.small else 120
    write_refshapes(
        root, 'refshapes', images, seed=0, size=size, jobs=1 if bench.small else os.cpu_count() or 1, progress=False
    )
    init_default_scope('mmseg')
    settings = cfg.test_dataloader
    settings.dataset = with_changed_parts(
        settings.dataset, data_root=str(root), ann_folder='refshapes', split_by='unc', split='train'
    )
    settings.update(num_workers=workers, persistent_workers=False, pin_memory=pin)
    return RISRunner.build_dataloader(settings), cfg
