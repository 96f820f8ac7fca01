"""From photos and sentences to masks: one at a time, in lists of jobs, and behind a server."""

from .features import stage_features
from .inferencer import RISInferencer
from .jobs import Job, read_jobs
from .photos import open_photo
from .result import RISResult
from .result_folder import precision_in, segment_jobs

__all__ = [
    'Job',
    'RISInferencer',
    'RISResult',
    'open_photo',
    'precision_in',
    'read_jobs',
    'segment_jobs',
    'stage_features',
]
