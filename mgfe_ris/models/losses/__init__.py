from .combine import CombineLoss
from .cross_entropy import WeightedCrossEntropyLoss
from .dice import MultiClassDiceLoss
from .focal import SoftmaxFocalLoss

__all__ = ['CombineLoss', 'MultiClassDiceLoss', 'SoftmaxFocalLoss', 'WeightedCrossEntropyLoss']
