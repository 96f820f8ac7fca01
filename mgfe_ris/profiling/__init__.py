"""What a model costs: parameters and operations, seconds, bytes."""

from .complexity import Complexity, count_complexity
from .machine import describe_machine
from .memory import Memory, can_trace, trace_memory
from .speed import measure_speed, median_ms
from .workload import Setting, Workload

__all__ = [
    'Complexity',
    'Memory',
    'Setting',
    'Workload',
    'can_trace',
    'count_complexity',
    'describe_machine',
    'measure_speed',
    'median_ms',
    'trace_memory',
]
