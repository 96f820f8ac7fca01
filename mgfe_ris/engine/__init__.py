"""What mmengine's runner needs beside, to train and to test: schedules, hooks, checkpoints."""

from .hooks import DeferredInfoHook, EarlyStoppingHook, EpochSummaryHook, SlowStepsHook, StartFromHook
from .non_finite import NonFiniteError, NonFiniteHook
from .runner import RISRunner
from .schedulers import PolynomialLR
from .stopping import Stopped
from .weights import check_weights, unwrap

__all__ = [
    'DeferredInfoHook',
    'EarlyStoppingHook',
    'EpochSummaryHook',
    'NonFiniteError',
    'NonFiniteHook',
    'PolynomialLR',
    'RISRunner',
    'SlowStepsHook',
    'StartFromHook',
    'Stopped',
    'check_weights',
    'unwrap',
]
