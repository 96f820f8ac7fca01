"""What the tools, and users' own scripts, call."""

from .ablation import AblationRun, check_inputs, describe, find_rows, row_config
from .config import config_in, find_config, input_pipeline, input_size, load_config, weights_in, without_pretrained
from .cpu import prepare_cpu
from .errors import fail, report_errors
from .features import stage_features
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
from .rivals import MARGIN, budget_of, find_systems, milliseconds_per_photo, read_scores, system_config
from .traced import export_torch
from .train_all import alone_in, resumable, train_all, work

__all__ = [
    'MARGIN',
    'AblationRun',
    'FlipTTA',
    'Job',
    'OnnxSegmentor',
    'RISInferencer',
    'RISResult',
    'alone_in',
    'budget_of',
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
    'find_systems',
    'input_pipeline',
    'input_size',
    'load_config',
    'load_model',
    'load_trained',
    'milliseconds_per_photo',
    'open_photo',
    'prepare_cpu',
    'read_jobs',
    'read_scores',
    'read_weights',
    'report_errors',
    'require_empty',
    'resumable',
    'row_config',
    'save_converted',
    'save_folder',
    'segment_jobs',
    'stage_features',
    'system_config',
    'train_all',
    'use_mixed_precision',
    'weights_in',
    'without_pretrained',
    'work',
]
