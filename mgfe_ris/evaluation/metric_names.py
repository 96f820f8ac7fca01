"""Names of metrics, checked before hours of training end in one that is missing or there twice."""

from collections.abc import Iterable

import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook

from .metric import REVIEWED, RefSegMetric


def check_metric_names(metrics: Iterable[BaseMetric], hooks: Iterable[Hook] = ()) -> None:
    """Whether metrics beside each other have names of their own, and hooks wait for one that there is.

    Args:
        metrics: of one evaluator. What others than ours and mmseg's ``IoUMetric`` give is not known ahead.
        hooks: those that save the best checkpoint or stop early are looked at.

    Raises:
        ValueError: a name that two of them give, or one that a hook waits for and none gives.
    """
    owners: dict[str, BaseMetric] = {}
    complete = True
    for metric in metrics:
        names = _names(metric)
        complete &= names is not None
        for name in names or ():
            if name in owners:
                both = f'{type(owners[name]).__name__} and {type(metric).__name__}'
                raise ValueError(
                    f'{both} both give a metric {name}: tell them apart by a prefix, as in dict(type='
                    f"'{type(metric).__name__}', prefix='other')"
                )
            owners[name] = metric
    for option, wanted in _waited_for(hooks) if complete and owners else ():
        if wanted not in owners:
            told = [name for name in owners if f'{REVIEWED}/' not in name]
            raise ValueError(f'{option}={wanted!r}: no metric of the validation has this name; there are {told}')


def _names(metric: BaseMetric) -> list[str] | None:
    """Prefix included; None: not known."""
    if isinstance(metric, RefSegMetric):
        return list(metric.names)
    from mmseg.evaluation import IoUMetric  # it brings a second of imports

    # a class derived from it may give anything
    if type(metric) is not IoUMetric or metric.format_only:
        return None
    area = torch.ones(1)
    wanted = [metric.metrics] if isinstance(metric.metrics, str) else metric.metrics
    try:
        of_classes = IoUMetric.total_area_to_metrics(area, area, area, area, wanted)
    except KeyError as error:  # one that it does not know
        raise ValueError(f'IoUMetric, iou_metrics: {error.args[0]}') from error
    names = [name if name == 'aAcc' else f'm{name}' for name in of_classes]
    return [f'{metric.prefix}/{name}' if metric.prefix else name for name in names]


def _waited_for(hooks: Iterable[Hook]) -> Iterable[tuple[str, str]]:
    """The option that names a metric, and the name."""
    for hook in hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best is not None:
            yield from (('save_best', name) for name in hook.key_indicators if name != 'auto')
        elif isinstance(hook, EarlyStoppingHook):
            yield 'monitor', hook.monitor
