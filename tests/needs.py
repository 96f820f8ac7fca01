"""What tests need of the versions of other packages, as marks; each says what older ones do."""

import cv2
import pytest
import torch
from packaging.version import parse

from mgfe_ris.profiling import can_trace

gpu_tracing = pytest.mark.skipif(not can_trace(), reason=f'torch {torch.__version__} cannot trace without a GPU')
exact_export = pytest.mark.skipif(torch.__version__ < (2, 8), reason='torch 2.7 exports what rounds more')


def opencv(least: str, older: str) -> pytest.MarkDecorator:
    """``older``: what those below ``least`` do."""
    return pytest.mark.skipif(parse(cv2.__version__) < parse(least), reason=f'OpenCV {cv2.__version__} {older}')
