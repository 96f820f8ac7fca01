from .complexity import Complexity, count_complexity
from .iou import intersection_and_union, summarize
from .loop import SplitsTestLoop
from .metric import RefSegMetric

__all__ = ['Complexity', 'RefSegMetric', 'SplitsTestLoop', 'count_complexity', 'intersection_and_union', 'summarize']
