"""What the tools, and users' own scripts, call.

A room for each thing that a person wants: :mod:`infer`, :mod:`export`, :mod:`experiments`. None of the three imports
another one; all stand on ``model`` and ``onnx_segmentor`` (from files to a model), and these on :mod:`config`. ``cpu``
and ``errors``, for the process of a tool, stand alone.
"""

from ..output_files import require_empty
from .config import config_in, find_config, input_pipeline, input_size, load_config, weights_in, without_pretrained
from .cpu import prepare_cpu
from .errors import fail, report_errors
from .experiments import (
    BASELINES,
    MARGIN,
    AblationRun,
    FlipTTA,
    alone_in,
    budget_of,
    check_cuda,
    check_inputs,
    describe,
    find_rows,
    find_systems,
    measure_blind,
    measure_cuda,
    measure_systems,
    read_photos,
    read_scores,
    resumable,
    row_config,
    system_config,
    train_all,
    use_mixed_precision,
    work,
)
from .export import compare_exports, export_int8, export_onnx, export_torch, save_converted, save_folder
from .infer import Job, RISInferencer, RISResult, open_photo, read_jobs, segment_jobs, stage_features
from .model import build_model, check_checkpoint, default_model, load_model, load_trained, read_weights
from .onnx_segmentor import OnnxSegmentor

__all__ = [
    'BASELINES',
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
    'check_cuda',
    'check_inputs',
    'compare_exports',
    'config_in',
    'default_model',
    'describe',
    'export_int8',
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
    'measure_blind',
    'measure_cuda',
    'measure_systems',
    'open_photo',
    'prepare_cpu',
    'read_jobs',
    'read_photos',
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
