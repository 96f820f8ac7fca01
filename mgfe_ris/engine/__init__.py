"""What mmengine's runner needs beside, to train and to test: schedules, hooks, checkpoints."""

from .checkpoint_hook import CheckpointHook
from .hooks import DeferredInfoHook, EpochSeedHook, EpochSummaryHook, SlowStepsHook, StartFromHook
from .launch import first_error, own_rank, sentence_counts, speaks
from .non_finite import NonFiniteError, NonFiniteHook
from .runner import RISRunner
from .schedulers import PolynomialLR
from .sharded import build_runner
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
    'build_runner',
    'check_weights',
    'first_error',
    'own_rank',
    'sentence_counts',
    'speaks',
    'unwrap',
]
