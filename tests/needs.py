"""What tests need of the versions of other packages, as marks; each says what older ones do."""

import cv2
import PIL
import pytest
import torch
from packaging.version import parse
from torch.utils.data._utils.pin_memory import pin_memory

from mgfe_ris.profiling import can_trace

gpu_tracing = pytest.mark.skipif(not can_trace(), reason=f'torch {torch.__version__} cannot trace without a GPU')
exact_export = pytest.mark.skipif(
    torch.__version__ < (2, 8), reason='torch 2.7 exports what rounds more, and no drop path of numpy numbers'
)


def opencv(least: str, older: str) -> pytest.MarkDecorator:
    """``older``: what those below ``least`` do."""
    return _since('OpenCV', cv2.__version__, least, older)


def pillow(least: str, older: str) -> pytest.MarkDecorator:
    """As :func:`opencv`."""
    return _since('Pillow', PIL.__version__, least, older)


def _since(name: str, found: str, least: str, older: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(parse(found) < parse(least), reason=f'{name} {found} {older}')


class _Asked(list):
    def pin_memory(self) -> str:
        return 'asked'


asked_lists = pytest.mark.skipif(
    pin_memory(_Asked()) != 'asked', reason=f'torch {torch.__version__} pins what is in a list before it asks the list'
)
