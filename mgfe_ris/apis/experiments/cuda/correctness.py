"""What a device computes, beside float64 on the CPU: outputs, losses, gradients, a step, and the counts of pixels."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import cache, partial
from math import inf, isfinite
from typing import Any

import torch
from mmengine.optim import build_optim_wrapper
from torch import Tensor

from ....evaluation import intersection_and_union
from ....profiling.kernels import kernels_of
from ....profiling.workload import DTYPES
from ....structures import gives_scores
from ....tf32 import set_tf32
from .bench import Bench, build_small, size_of, small_batch
from .draws import AllDouble, SameDraws
from .plan import Item

SECTION = 'correctness'
CPU = torch.device('cpu')
ALLOWANCE = {'float32': 10.0, 'bf16': 2.0, 'fp16': 2.0}
"""Where the CPU is, in the same numbers, further from float64 than a bound, so many times that is allowed: a model
whose norms have few pixels to go by is far away on any device."""
WIDEST = {'float32': 100.0}
"""So many times a bound at most, whatever the CPU does. In other numbers a CPU that is tested itself moves no bound."""


@dataclass(frozen=True)
class Bound:
    """The most by which a device may differ from float64."""

    logits: float
    """The largest difference over the largest logit; of a model that draws polygons, in pixels over the photo's."""
    loss: float
    """Of the sum of all losses, relative."""
    gradient: float
    """The length of the difference of all gradients together, over the length of the gradient."""
    after: float
    """Of the sum of all losses after a step of the config's optimiser, relative. AdamW's first step goes by the sign
    of a gradient, however small, so that rounding decides where some weights go."""
    pixels: float
    """Share of the masks' pixels that change sides."""


BOUNDS = {
    'float32': Bound(logits=1e-4, loss=1e-4, gradient=1e-3, after=0.02, pixels=1e-3),
    'bf16': Bound(logits=0.2, loss=0.05, gradient=0.8, after=0.5, pixels=0.1),
    'fp16': Bound(logits=0.03, loss=0.01, gradient=0.2, after=0.2, pixels=0.02),
}
"""float32 without TF32; the others by autocast."""
SCALE = {'fp16': 2.0**10}
"""Of the loss, before it goes back: small gradients would be 0 in fp16."""


@dataclass(frozen=True)
class Found:
    """What a model makes of a batch; float64 on the CPU."""

    output: Tensor
    """Logits, or polygons."""
    masks: Tensor
    counts: tuple[list[int], list[int]]
    """Pixels in both, and in either mask, of each sample, as counted on the device."""
    loss: float
    gradient: Tensor
    """Of all weights, one after another."""
    loss_after: float
    """After a step of the config's own optimiser."""


def correctness_items(bench: Bench) -> Iterator[Item]:
    """Each family in each precision, and which kernels ran; and each module and loss of the paper's tables."""
    rows = bench.rows()
    for name in (*bench.families(), *rows):
        for precision in BOUNDS:
            # nobody trains in fp16 on a CPU, nor quickly in bf16
            if bench.cuda or precision == 'float32' or (precision == 'bf16' and name.startswith('lavt')):
                run = partial(compare, bench, name, precision)
                later = int(precision != 'float32') + int(name in rows)
                yield Item(SECTION, f'{name}, {precision}', run, later=later, most=120)


@cache
def _expected(bench: Bench, name: str) -> tuple[Any, dict[str, Any], Found]:
    """Model, batch, and what float64 makes of it."""
    config, options = (bench.families() | bench.rows())[name]
    model, batch = build_small(config, options), small_batch(size_of(config))
    with AllDouble():
        return model, batch, examine(deepcopy(model).double(), batch, CPU)


def compare(bench: Bench, name: str, precision: str) -> Mapping[str, Any]:
    """A row: each of :class:`Bound`, ``counts_exact``, ``allowed``, the bounds that :data:`ALLOWANCE` moved, ``holds``
    and ``kernels``, see :func:`kernels_of`."""
    model, batch, expected = _expected(bench, name)
    set_tf32(matmul=False, conv=False)
    amp = None if precision == 'float32' else precision
    copy = deepcopy(model)
    found = examine(copy, batch, bench.device, amp)
    kernels = kernels_of(lambda: _loss(copy, batch, bench.device, amp), bench.device)
    discrete = amp is not None and not gives_scores(model)
    differ, bounds = differences(found, expected, discrete), asdict(BOUNDS[precision])
    widest = WIDEST.get(precision, inf if bench.cuda else 1.0)
    allowed = {} if within(differ, bounds) else _allowed(model, batch, amp, expected, discrete, bounds, widest)
    exact = _counts(found.masks, batch) == found.counts
    return dict(
        family=name,
        precision=precision,
        **{key: value if isfinite(value) else None for key, value in differ.items()},
        counts_exact=exact,
        allowed=allowed,
        holds=exact and within(differ, bounds | allowed),
        kernels=kernels,
    )


def _allowed(
    model: Any,
    batch: Mapping[str, Any],
    amp: str | None,
    expected: Found,
    discrete: bool,
    bounds: Mapping[str, float],
    widest: float,
) -> dict[str, float]:
    """Wider bounds by what the CPU makes of the same numbers; none, where it cannot compute in them."""
    try:
        usual = differences(examine(deepcopy(model), batch, CPU, amp), expected, discrete)
    except RuntimeError:
        return {}
    wider = {key: min(ALLOWANCE[amp or 'float32'] * usual[key], widest * bounds[key]) for key in usual}
    return {key: value for key, value in wider.items() if value > bounds[key]}


def within(differ: Mapping[str, float], bounds: Mapping[str, float]) -> bool:
    """Whether each difference is; one that is no number is not."""
    return all(value <= bounds[key] for key, value in differ.items())


def examine(
    model: Any, batch: Mapping[str, Any], device: torch.device, amp: str | None = None, same_draws: bool = True
) -> Found:
    """Segment the batch, then train on it once; the model is changed.

    Args:
        model: whose weights say float64 or float32.
        batch: of a loader.
        device: where.
        amp: ``bf16`` or ``fp16``: autocast.
        same_draws: what is drawn in training is the same on all devices; of no use to a model that draws nothing, and
            in the way of compilers.
    """
    model.to(device).eval()
    with torch.no_grad(), _autocast(device, amp):
        samples = model(**model.data_preprocessor(batch, False), mode='predict')
    output = [sample.seg_logits.data if gives_scores(model) else sample.polygons for sample in samples]
    masks = torch.stack([sample.pred_sem_seg.data for sample in samples])
    counts = intersection_and_union(masks, _truth(batch).to(device))
    model.train()
    optimizer = build_optim_wrapper(model, model.cfg.optim_wrapper).optimizer
    scale = SCALE.get(amp or '', 1.0)
    loss = _loss(model, batch, device, amp, same_draws)
    (loss * scale).backward()
    for weight in model.parameters():
        if weight.grad is not None:
            weight.grad /= scale
    gradient = torch.cat([_plain(w.grad).flatten() for w in model.parameters() if w.grad is not None])
    optimizer.step()
    after = _loss(model, batch, device, amp, same_draws)
    return Found(
        output=torch.stack([_plain(one) for one in output]),
        masks=masks.cpu(),
        counts=_as_lists(counts),
        loss=loss.item(),
        gradient=gradient,
        loss_after=after.item(),
    )


def _loss(
    model: Any, batch: Mapping[str, Any], device: torch.device, amp: str | None, same_draws: bool = True
) -> Tensor:
    with _autocast(device, amp), SameDraws() if same_draws else nullcontext():
        return model.parse_losses(model(**model.data_preprocessor(batch, True), mode='loss'))[0]


def _autocast(device: torch.device, amp: str | None) -> AbstractContextManager:
    return torch.autocast(device.type, DTYPES[amp]) if amp else nullcontext()


def _plain(x: Tensor) -> Tensor:
    return x.detach().double().cpu()


def _truth(batch: Mapping[str, Any]) -> Tensor:
    return torch.stack([sample.gt_sem_seg.data for sample in batch['data_samples']])


def _counts(masks: Tensor, batch: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    return _as_lists(intersection_and_union(masks.cpu(), _truth(batch)))


def _as_lists(counts: tuple[Tensor, Tensor]) -> tuple[list[int], list[int]]:
    both, either = (n.flatten().tolist() for n in counts)
    return both, either


def differences(found: Found, expected: Found, discrete: bool) -> dict[str, float]:
    """By the names of :class:`Bound`; of a model that decides step by step what it draws, few bits change everything
    after the first decision, so that its losses and gradients alone are compared."""
    differ = dict(
        loss=abs(found.loss - expected.loss) / abs(expected.loss),
        after=abs(found.loss_after - expected.loss_after) / abs(expected.loss_after),
        gradient=float((found.gradient - expected.gradient).norm() / expected.gradient.norm()),
    )
    if not discrete:
        a, b = (one.output.nan_to_num(-1) for one in (found, expected))
        differ['logits'] = float((a - b).abs().max() / b.abs().max())
        differ['pixels'] = float((found.masks != expected.masks).double().mean())
    return differ
