"""Test all splits of a data set with one loaded model."""

from collections.abc import Sequence
from copy import deepcopy

from mmengine.runner import BaseLoop, Runner, TestLoop
from mmseg.registry import LOOPS

from ..data_parts import config_parts
from .metric import REVIEWED


@LOOPS.register_module()
class SplitsTestLoop(BaseLoop):
    """mmengine's test loop, once per split; metrics come back as ``<split>/<metric>``.

    Args:
        runner: the runner.
        dataloader: config of the loader; the ``split`` of its data set, or of those in it, is replaced by each in turn.
        evaluator: config of the metrics.
        splits: names, e.g. ``('val', 'testA', 'testB')``, or a single one.
        shuffled: splits to test a second time with the sentences of each photo's objects exchanged, as
            ``<split>-shuffled``: what the model scores without listening.
        fp16: autocast the forward.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        evaluator: dict | list,
        splits: Sequence[str],
        shuffled: Sequence[str] = (),
        fp16: bool = False,
    ):
        self._runner = runner
        dataloader = {**dataloader, 'persistent_workers': False}  # each split is read once: its workers may go
        self.loops = {
            name: TestLoop(runner, {**deepcopy(dataloader), 'dataset': dataset}, deepcopy(evaluator), fp16)
            for name, dataset in split_datasets(dataloader['dataset'], splits, shuffled).items()
        }
        self._look_at(next(iter(self.loops.values())))

    def _look_at(self, loop: TestLoop) -> None:
        """What the runner and its hooks take for the test's loader and metrics."""
        self.dataloader, self.evaluator = loop.dataloader, loop.evaluator

    def run(self) -> dict[str, float]:
        """All splits in turn -> ``{'val/oIoU': ..., ...}``."""
        metrics: dict[str, float] = {}
        for name, loop in self.loops.items():
            self._look_at(loop)
            self.runner.logger.info(f'Testing {name}: {len(loop.dataloader.dataset)} sentences')
            for key, value in loop.run().items():
                of_part, found, metric = key.rpartition(f'{REVIEWED}/')  # of a part of the samples, after a prefix
                metrics[f'{name}-{REVIEWED}/{of_part}{metric}' if found else f'{name}/{key}'] = value
        return metrics


def split_datasets(dataset: dict, splits: Sequence[str], shuffled: Sequence[str] = ()) -> dict[str, dict]:
    """The config of a data set for each test, by name; see :class:`SplitsTestLoop`."""
    splits, shuffled = ([names] if isinstance(names, str) else names for names in (splits, shuffled))
    tests = {split: (split, False) for split in splits} | {f'{split}-shuffled': (split, True) for split in shuffled}
    found = {}
    for name, (split, exchanged) in tests.items():
        found[name] = deepcopy(dataset)
        for part in config_parts(found[name]):
            part.update(split=split, shuffle_sentences=exchanged, metainfo={**part.get('metainfo', {}), 'split': name})
    return found
