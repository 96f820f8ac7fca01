"""Test all splits of a data set with one loaded model."""

from collections.abc import Sequence
from copy import deepcopy

from mmengine.runner import BaseLoop, Runner, TestLoop
from mmseg.registry import LOOPS


@LOOPS.register_module()
class SplitsTestLoop(BaseLoop):
    """mmengine's test loop, once per split; metrics come back as ``<split>/<metric>``.

    Args:
        runner: the runner.
        dataloader: config of the loader; its data set's ``split`` is replaced by each split in turn.
        evaluator: config of the metrics.
        splits: names, e.g. ``('val', 'testA', 'testB')``.
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
        self.loops = {
            name: TestLoop(runner, _with_split(dataloader, name), deepcopy(evaluator), fp16)
            for name in [*splits, *(f'{split}-shuffled' for split in shuffled)]
        }

    def run(self) -> dict[str, float]:
        """All splits in turn -> ``{'val/oIoU': ..., ...}``."""
        metrics: dict[str, float] = {}
        for name, loop in self.loops.items():
            self.dataloader = loop.dataloader  # what the runner's hooks look at
            self.runner.logger.info(f'Testing {name}: {len(loop.dataloader.dataset)} sentences')
            metrics |= {f'{name}/{key}': value for key, value in loop.run().items()}
        return metrics


def _with_split(dataloader: dict, name: str) -> dict:
    dataloader = deepcopy(dataloader)
    split, _, shuffled = name.partition('-')
    dataloader['dataset'].update(split=split, shuffle_sentences=bool(shuffled), metainfo=dict(split=name))
    return dataloader
