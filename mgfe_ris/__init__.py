"""MGFE-RIS: referring image segmentation on OpenMMLab. Importing it registers everything."""

from . import datasets, evaluation, hooks, models, registry, visualization

__version__ = '0.1.0'
__all__ = ['__version__', 'datasets', 'evaluation', 'hooks', 'models', 'registry', 'visualization']
