from .binary_cross_entropy import BinaryCrossEntropy
from .boundary import BoundaryF1Loss, DiceBoundaryLoss
from .combine import CombineLoss
from .cross_entropy import WeightedCrossEntropyLoss
from .dice import MultiClassDiceLoss
from .focal import SoftmaxFocalLoss

__all__ = [
    'BinaryCrossEntropy',
    'BoundaryF1Loss',
    'CombineLoss',
    'DiceBoundaryLoss',
    'MultiClassDiceLoss',
    'SoftmaxFocalLoss',
    'WeightedCrossEntropyLoss',
]
