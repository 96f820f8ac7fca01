"""What trainings and tests take beside a config: mixed precision, flipped photos, the rows of an ablation, the systems
of a comparison, baselines that do not listen, what was tested on real photos, and what a GPU makes of it all."""

from .ablation import AblationRun, check_inputs, describe, find_rows, row_config
from .blind import BASELINES, measure_blind
from .cuda import check_cuda, measure_cuda
from .flip_tta import FlipTTA
from .photos import read_photos
from .precision import use_mixed_precision
from .rivals import MARGIN, budget_of, find_systems, measure_systems, read_scores, system_config
from .train_all import alone_in, resumable, train_all, work

__all__ = [
    'BASELINES',
    'MARGIN',
    'AblationRun',
    'FlipTTA',
    'alone_in',
    'budget_of',
    'check_cuda',
    'check_inputs',
    'describe',
    'find_rows',
    'find_systems',
    'measure_blind',
    'measure_cuda',
    'measure_systems',
    'read_photos',
    'read_scores',
    'resumable',
    'row_config',
    'system_config',
    'train_all',
    'use_mixed_precision',
    'work',
]
