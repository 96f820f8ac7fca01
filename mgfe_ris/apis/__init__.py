"""What the tools, and users' own scripts, call."""

from .config import find_config, load_config, without_pretrained
from .errors import report_errors
from .model import check_checkpoint, load_model, read_weights, segment_photo, unwrap
from .pictures import save_result
from .precision import use_mixed_precision

__all__ = [
    'check_checkpoint',
    'find_config',
    'load_config',
    'load_model',
    'read_weights',
    'report_errors',
    'save_result',
    'segment_photo',
    'unwrap',
    'use_mixed_precision',
    'without_pretrained',
]
