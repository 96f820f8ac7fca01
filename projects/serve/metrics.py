"""What a server counts, in Prometheus' text form."""

import os
import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Beside what it counts, the memory, descriptors and CPU time of the process, where the system tells them.

    Args:
        waiting: says how many requests wait.
    """

    def __init__(self, waiting: Callable[[], float]):
        self.registry = CollectorRegistry()
        kept = dict(namespace='mgfe_ris', registry=self.registry)
        self.requests = Counter('requests', 'Requests for masks; 499: the client went away', ['status'], **kept)
        self.sentences = Counter('sentences', 'Sentences that were answered', **kept)
        self.batches = Histogram('batch_requests', 'Requests in a batch', buckets=SIZES, **kept)
        self.seconds = Histogram('request_seconds', 'From head to answer, where it is 200', buckets=SECONDS, **kept)
        Gauge('waiting', 'Requests that are sent, or wait for the model', **kept).set_function(waiting)
        Gauge('threads', 'Of the process', **kept).set_function(count_threads)
        ProcessCollector(registry=self.registry)

    def __bytes__(self) -> bytes:
        return generate_latest(self.registry)


def count_threads() -> int:
    """Those of libraries included, where the system tells."""
    try:
        return len(os.listdir('/proc/self/task'))
    except OSError:
        return threading.active_count()
