"""What the tools, and users' own scripts, call."""

from .config import find_config, load_config, without_pretrained
from .errors import report_errors
from .model import check_checkpoint, load_model, read_weights, segment_photo
from .pictures import save_result

__all__ = [
    'check_checkpoint',
    'find_config',
    'load_config',
    'load_model',
    'read_weights',
    'report_errors',
    'save_result',
    'segment_photo',
    'without_pretrained',
]
