"""The first epoch of CRIS's official training."""

from mmengine.optim import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class OneRateAtFirst(LRSchedulerMixin, _ParamScheduler):
    """All groups at the largest of their rates in the first epoch; from the second one on each at its own.

    The official code gives its groups an ``initial_lr`` and no ``lr``, so that they begin with the optimizer's; its
    scheduler looks at ``initial_lr`` from the second epoch on. Other schedulers beside it go on with what it leaves.

    Args:
        args, kwargs: mmengine's: optimizer, begin, by_epoch, last_step, verbose.
    """

    def _get_value(self) -> list[float]:
        if self.last_step == 0:
            return [max(self.base_values)] * len(self.base_values)
        if self.last_step == 1:
            return list(self.base_values)
        return [group[self.param_name] for group in self.optimizer.param_groups]
