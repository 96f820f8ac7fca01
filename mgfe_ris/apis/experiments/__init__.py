"""What trainings and tests take beside a config: mixed precision, flipped photos, the rows of an ablation."""

from .ablation import AblationRun, check_inputs, describe, find_rows, row_config
from .flip_tta import FlipTTA
from .precision import use_mixed_precision

__all__ = ['AblationRun', 'FlipTTA', 'check_inputs', 'describe', 'find_rows', 'row_config', 'use_mixed_precision']
