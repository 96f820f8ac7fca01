"""Tests in several processes: each gets whole batches, so that all compute what one would, bit by bit."""

from typing import Any

from mmengine.runner import BaseLoop, Runner
from mmseg.registry import METRICS
from torch.utils.data import DataLoader

from ..datasets.samplers import DealtBatchSampler
from ..evaluation import RefSegMetric


def with_dealt_batches(dataloader: dict, evaluator: dict | list | None) -> dict:
    """The config of a loader that deals out batches instead of samples.

    As it is, if it is shuffled, drops a part of the samples, or has a sampler that is not mmengine's; or if a metric
    depends on the order of the samples, which mmengine restores for single samples only. Ours know both.
    """
    sampler = dataloader.get('sampler') if isinstance(dataloader, dict) else None
    in_order = isinstance(sampler, dict) and sampler.get('type') == 'DefaultSampler' and sampler.get('shuffle') is False
    metrics = evaluator if isinstance(evaluator, list) else [evaluator]
    if not in_order or dataloader.get('drop_last') or not all(map(_takes_batches, metrics)):
        return dataloader
    return dict(dataloader, batch_sampler=dict(type='DealtBatchSampler', batches=dataloader.get('batch_sampler')))


def _takes_batches(metric: object) -> bool:
    from mmseg.evaluation import IoUMetric  # here: it brings the whole of mmseg's evaluation along

    kind = METRICS.get(metric['type']) if isinstance(metric, dict) and isinstance(metric.get('type'), str) else None
    return isinstance(kind, type) and issubclass(kind, (RefSegMetric, IoUMetric))


def expect_dealt_batches(loop: BaseLoop) -> BaseLoop:
    """Have our metrics put whole batches in order, where the loader deals them out; gives the loop back."""
    loops = getattr(loop, 'loops', {'': loop}).values()
    for one in loops:
        if is_dealt(one.dataloader):
            for metric in one.evaluator.metrics:
                if isinstance(metric, RefSegMetric):
                    metric.dealt_batches = True
    return loop


def is_dealt(loader: DataLoader) -> bool:
    """Whether batches are dealt out: some processes may get none."""
    return isinstance(getattr(loader, 'batch_sampler', None), DealtBatchSampler)


class DealtBatches(Runner):
    """A runner that deals out the batches of validations and tests."""

    _val_dataloader: Any
    _test_dataloader: Any

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's."""
        if self.distributed:
            self._val_dataloader = with_dealt_batches(self._val_dataloader, self._val_evaluator)
        return expect_dealt_batches(super().build_val_loop(loop))

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """mmengine's."""
        if self.distributed:
            self._test_dataloader = with_dealt_batches(self._test_dataloader, self._test_evaluator)
        return expect_dealt_batches(super().build_test_loop(loop))
