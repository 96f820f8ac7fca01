from .complexity import Complexity, count_complexity
from .iou import intersection_and_union, summarize
from .loop import SplitsTestLoop
from .metric import RefSegMetric

__all__ = ['Complexity', 'count_complexity', 'RefSegMetric', 'SplitsTestLoop', 'intersection_and_union', 'summarize']
