"""MGFE-RIS: referring image segmentation on OpenMMLab. Importing it registers everything."""

from . import datasets, evaluation, hooks, models, non_finite, packaged, registry, schedulers, visualization
from .version import __version__

__all__ = [
    '__version__',
    'datasets',
    'evaluation',
    'hooks',
    'models',
    'non_finite',
    'packaged',
    'registry',
    'schedulers',
    'visualization',
]
