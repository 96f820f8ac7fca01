"""Learning rate schedules."""

from mmengine.optim.scheduler import PolyLR
from mmseg.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class PolynomialLR(PolyLR):
    """lr (1 - t / n)^power at step t of n = end - begin, as torch's ``PolynomialLR`` and the official baseline have it.

    mmengine's divides by n - 1, so that its last step is taken at ``eta_min``.

    Args:
        args, kwargs: mmengine's ``PolyLR``: power, eta_min, begin, end, by_epoch, convert_to_iter_based.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.total_iters = self.end - self.begin
