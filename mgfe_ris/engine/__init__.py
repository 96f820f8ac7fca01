"""What mmengine's runner needs beside, to train and to test: schedules, hooks, checkpoints."""

from .checkpoint_hook import CheckpointHook
from .hooks import DeferredInfoHook, EarlyStoppingHook, EpochSummaryHook, SlowStepsHook, StartFromHook
from .launch import first_error, own_rank, sentence_counts, speaks
from .non_finite import NonFiniteError, NonFiniteHook
from .runner import RISRunner
from .schedulers import PolynomialLR
from .sharded import build_runner
from .start_record import StartRecordHook, git_state
from .stopping import Stopped
from .weights import check_weights, unwrap
from .words_hook import TrainingWordsHook

__all__ = [
    'CheckpointHook',
    'DeferredInfoHook',
    'EarlyStoppingHook',
    'EpochSummaryHook',
    'NonFiniteError',
    'NonFiniteHook',
    'PolynomialLR',
    'RISRunner',
    'SlowStepsHook',
    'StartFromHook',
    'StartRecordHook',
    'Stopped',
    'TrainingWordsHook',
    'build_runner',
    'check_weights',
    'first_error',
    'git_state',
    'own_rank',
    'sentence_counts',
    'speaks',
    'unwrap',
]
