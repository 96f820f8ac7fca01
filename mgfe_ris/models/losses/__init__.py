from .boundary import BoundaryF1Loss, DiceBoundaryLoss
from .combine import CombineLoss
from .cross_entropy import WeightedCrossEntropyLoss
from .dice import MultiClassDiceLoss
from .focal import SoftmaxFocalLoss

__all__ = [
    'BoundaryF1Loss',
    'CombineLoss',
    'DiceBoundaryLoss',
    'MultiClassDiceLoss',
    'SoftmaxFocalLoss',
    'WeightedCrossEntropyLoss',
]
