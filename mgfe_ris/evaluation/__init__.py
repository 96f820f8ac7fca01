from .complexity import Complexity, count_complexity
from .generalized import GeneralizedRefSegMetric, summarize_generalized
from .iou import intersection_and_union, summarize
from .loop import SplitsTestLoop
from .metric import RefSegMetric

__all__ = [
    'Complexity',
    'GeneralizedRefSegMetric',
    'RefSegMetric',
    'SplitsTestLoop',
    'count_complexity',
    'intersection_and_union',
    'summarize',
    'summarize_generalized',
]
