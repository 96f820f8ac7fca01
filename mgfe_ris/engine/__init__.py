"""What mmengine's runner needs beside, to train and to test: schedules, hooks, checkpoints."""

from .checkpoint_hook import CheckpointHook
from .hooks import DeferredInfoHook, EpochSeedHook, EpochSummaryHook, SlowStepsHook, StartFromHook
from .non_finite import NonFiniteError, NonFiniteHook
from .runner import RISRunner
from .schedulers import PolynomialLR
from .start_record import StartRecordHook
from .weights import check_weights, unwrap

__all__ = [
    'CheckpointHook',
    'DeferredInfoHook',
    'EpochSeedHook',
    'EpochSummaryHook',
    'NonFiniteError',
    'NonFiniteHook',
    'PolynomialLR',
    'RISRunner',
    'SlowStepsHook',
    'StartFromHook',
    'StartRecordHook',
    'check_weights',
    'unwrap',
]
