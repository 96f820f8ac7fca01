from .iou import intersection_and_union, summarize
from .loop import SplitsTestLoop
from .metric import RefSegMetric

__all__ = ['RefSegMetric', 'SplitsTestLoop', 'intersection_and_union', 'summarize']
