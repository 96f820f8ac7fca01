"""Whether torch.compile makes one graph of a model, and of that graph the numbers of the model itself."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import partial
from math import isfinite
from typing import Any

import torch

from ....tf32 import set_tf32
from ...config import find_config
from ..small_models import SMALL_SWIN, SMALLER_TINY, Options
from .bench import Bench, build_small, size_of, small_batch
from .correctness import BOUNDS, differences, examine, within
from .plan import Item

SECTION = 'compile'
CONFIGS: Mapping[str, Options] = {
    'mgfe-ris_swin-base_refcoco': SMALL_SWIN,
    'lavt_swin-base_refcoco': SMALL_SWIN,
    'mgfe-ris_tiny_refshapes': SMALLER_TINY,
}


def graph_items(bench: Bench) -> Iterator[Item]:
    for i, (config, options) in enumerate(CONFIGS.items()):
        if 'tiny' in config or not bench.small:
            run = partial(compile_and_compare, bench, config, options)
            yield Item(SECTION, config, run, later=min(i, 1), most=150)
    for name in list(bench.families())[: 1 if bench.small else None]:
        yield Item(SECTION, f'graph of {name}', partial(count_graphs, bench, name), later=2, most=120)


def compile_and_compare(bench: Bench, config: str, options: Options) -> Mapping[str, Any]:
    """A row: ``graphs``, ``breaks`` between them by reason, ``compile_seconds`` and differences as of
    :func:`mgfe_ris.apis.experiments.cuda.correctness.compare`, between the model and the same with
    ``model.compile=True`` in float32."""
    set_tf32(matmul=False, conv=False)
    path = find_config(config)
    model, batch = build_small(path, options), small_batch(size_of(path))
    compiled = deepcopy(model)
    compiled.lay_out(compile=dict(backend='eager') if bench.small else True)
    expected = examine(model, batch, bench.device, same_draws=False)
    with counted() as count:
        start = time.monotonic()
        found = examine(compiled, batch, bench.device, same_draws=False)
        seconds = time.monotonic() - start
        graphs, breaks = count()
    differ = differences(found, expected, discrete=False)
    holds = not breaks and within(differ, asdict(BOUNDS['float32']))
    numbers = {key: value if isfinite(value) else None for key, value in differ.items()}
    return dict(graphs=graphs, breaks=breaks, compile_seconds=seconds, **numbers, holds=holds)


def count_graphs(bench: Bench, name: str) -> Mapping[str, Any]:
    """A row: ``graphs`` and ``breaks`` of a family's ``segment``, traced and not compiled; of ours, whether it
    ``holds`` that there is no break."""
    config, options = bench.families()[name]
    model = build_small(config, options).to(bench.device).eval()
    inputs = model.data_preprocessor(small_batch(size_of(config)), False)
    with counted() as count, torch.no_grad():
        segment = torch.compile(model.segment, backend='eager')
        segment(inputs['inputs'], inputs['token_ids'], inputs['word_mask'])
        graphs, breaks = count()
    ours = dict(holds=not breaks) if name.startswith(('lavt', 'mgfe-ris')) else {}
    return dict(graphs=graphs, breaks=breaks, **ours)


@contextmanager
def counted() -> Iterator[Callable[[], tuple[int, dict[str, int]]]]:
    """-> a function that says what dynamo has done inside: graphs, and breaks between them by their reason."""
    from torch._dynamo import reset  # here: it brings a compiler along
    from torch._dynamo.utils import counters

    reset()
    counters.clear()
    try:
        yield lambda: (counters['stats']['unique_graphs'], dict(counters['graph_break']))
    finally:
        reset()
