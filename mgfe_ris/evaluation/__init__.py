"""What a model gets right: oIoU, mIoU, P@X, and the tables of ablations."""

from .ablation import tabulate
from .bootstrap import intervals, measured, paired_bootstrap
from .ceiling import ceilings
from .generalized import GeneralizedRefSegMetric, summarize_generalized
from .iou import intersection_and_union, summarize
from .logits import LogitsHook, bytes_of_logits, read_logits
from .loop import SplitsTestLoop, split_datasets
from .mask_changes import MaskChanges
from .metafiles import find_metafiles, read_metafiles
from .metric import RefSegMetric
from .metric_names import check_metric_names
from .protocols import ScoringProtocol
from .published import Protocol, read_published
from .run import Run, require_same_samples, spread_over_seeds

__all__ = [
    'GeneralizedRefSegMetric',
    'LogitsHook',
    'MaskChanges',
    'Protocol',
    'RefSegMetric',
    'Run',
    'ScoringProtocol',
    'SplitsTestLoop',
    'bytes_of_logits',
    'ceilings',
    'check_metric_names',
    'find_metafiles',
    'intersection_and_union',
    'intervals',
    'measured',
    'paired_bootstrap',
    'read_logits',
    'read_metafiles',
    'read_published',
    'require_same_samples',
    'split_datasets',
    'spread_over_seeds',
    'summarize',
    'summarize_generalized',
    'tabulate',
]
