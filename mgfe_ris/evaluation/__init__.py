"""What a model gets right: oIoU, mIoU, P@X, and the tables of ablations."""

from .ablation import Run, tabulate
from .generalized import GeneralizedRefSegMetric, summarize_generalized
from .iou import intersection_and_union, summarize
from .logits import LogitsHook, bytes_of_logits
from .loop import SplitsTestLoop
from .metric import RefSegMetric
from .metric_names import check_metric_names
from .published import Protocol, read_published

__all__ = [
    'GeneralizedRefSegMetric',
    'LogitsHook',
    'Protocol',
    'RefSegMetric',
    'Run',
    'SplitsTestLoop',
    'bytes_of_logits',
    'check_metric_names',
    'intersection_and_union',
    'read_published',
    'summarize',
    'summarize_generalized',
    'tabulate',
]
