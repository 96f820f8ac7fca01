"""What the tools, and users' own scripts, call."""

from .ablation import AblationRun, check_inputs, describe, find_rows, row_config
from .config import config_in, find_config, input_pipeline, input_size, load_config, weights_in, without_pretrained
from .cpu import prepare_cpu
from .errors import fail, report_errors
from .features import require_stages, stage_features
from .flip_tta import FlipTTA
from .folder import require_empty, save_converted, save_folder
from .inferencer import RISInferencer
from .jobs import Job, read_jobs
from .model import (
    build_model,
    check_checkpoint,
    load_model,
    load_trained,
    read_weights,
)
from .onnx import OnnxSegmentor, export_onnx
from .photos import open_photo
from .precision import use_mixed_precision
from .result import RISResult
from .result_folder import segment_jobs
from .traced import export_torch

__all__ = [
    'AblationRun',
    'FlipTTA',
    'Job',
    'OnnxSegmentor',
    'RISInferencer',
    'RISResult',
    'build_model',
    'check_checkpoint',
    'check_inputs',
    'config_in',
    'describe',
    'export_onnx',
    'export_torch',
    'fail',
    'find_config',
    'find_rows',
    'input_pipeline',
    'input_size',
    'load_config',
    'load_model',
    'load_trained',
    'open_photo',
    'prepare_cpu',
    'read_jobs',
    'read_weights',
    'report_errors',
    'require_empty',
    'require_stages',
    'row_config',
    'save_converted',
    'save_folder',
    'segment_jobs',
    'stage_features',
    'use_mixed_precision',
    'weights_in',
    'without_pretrained',
]
