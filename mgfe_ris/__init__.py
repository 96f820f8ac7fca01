"""MGFE-RIS: referring image segmentation on OpenMMLab. Importing it registers everything."""

from . import datasets, engine, evaluation, models, packaged, profiling, registry, visualization
from .version import __version__

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'packaged',
    'profiling',
    'registry',
    'visualization',
]
