"""From a model to files that others run: a folder of weights, config and card; ONNX; a graph of ``torch.export``."""

from .compare import compare_exports
from .folder import save_converted, save_folder
from .int8 import export_int8
from .onnx import export_onnx
from .traced import export_torch

__all__ = ['compare_exports', 'export_int8', 'export_onnx', 'export_torch', 'save_converted', 'save_folder']
