from .ablation import Run, tabulate
from .complexity import Complexity, count_complexity
from .generalized import GeneralizedRefSegMetric, summarize_generalized
from .iou import intersection_and_union, summarize
from .logits import LogitsHook, bytes_of_logits, read_logits
from .loop import SplitsTestLoop
from .machine import describe_machine
from .memory import Memory, trace_memory
from .metric import RefSegMetric
from .metric_names import check_metric_names
from .protocols import ScoringProtocol
from .published import Protocol, read_published
from .speed import measure_speed
from .workload import Setting, Workload

__all__ = [
    'Complexity',
    'GeneralizedRefSegMetric',
    'LogitsHook',
    'Memory',
    'Protocol',
    'RefSegMetric',
    'Run',
    'ScoringProtocol',
    'Setting',
    'SplitsTestLoop',
    'Workload',
    'bytes_of_logits',
    'check_metric_names',
    'count_complexity',
    'describe_machine',
    'intersection_and_union',
    'measure_speed',
    'read_logits',
    'read_published',
    'summarize',
    'summarize_generalized',
    'tabulate',
    'trace_memory',
]
