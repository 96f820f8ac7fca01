"""What the tools, and users' own scripts, call."""

from .ablation import AblationRun, check_inputs, describe, find_rows, row_config
from .config import config_in, find_config, input_size, load_config, weights_in, without_pretrained
from .errors import report_errors
from .features import stage_features
from .folder import require_empty, save_folder
from .model import (
    build_model,
    check_checkpoint,
    check_weights,
    load_model,
    read_weights,
    segment_photo,
    unwrap,
)
from .pictures import save_result
from .precision import use_mixed_precision

__all__ = [
    'AblationRun',
    'build_model',
    'check_checkpoint',
    'check_inputs',
    'check_weights',
    'config_in',
    'describe',
    'find_config',
    'find_rows',
    'input_size',
    'load_config',
    'load_model',
    'read_weights',
    'report_errors',
    'require_empty',
    'row_config',
    'save_folder',
    'save_result',
    'segment_photo',
    'stage_features',
    'unwrap',
    'use_mixed_precision',
    'weights_in',
    'without_pretrained',
]
