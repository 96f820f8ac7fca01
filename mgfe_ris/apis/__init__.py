"""What the tools, and users' own scripts, call."""

from .config import config_in, find_config, load_config, weights_in, without_pretrained
from .errors import report_errors
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
    'build_model',
    'check_checkpoint',
    'check_weights',
    'config_in',
    'find_config',
    'load_config',
    'load_model',
    'read_weights',
    'report_errors',
    'require_empty',
    'save_folder',
    'save_result',
    'segment_photo',
    'unwrap',
    'use_mixed_precision',
    'weights_in',
    'without_pretrained',
]
