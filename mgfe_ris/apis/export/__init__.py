"""From a model to files that others run: a folder of weights, config and card; ONNX; a graph of ``torch.export``."""

from .folder import save_converted, save_folder
from .onnx import export_onnx
from .traced import export_torch

__all__ = ['export_onnx', 'export_torch', 'save_converted', 'save_folder']
