from . import encoders, fusion, initializer, losses
from .decode_head import LightDecodeHead
from .preprocessor import ReferringDataPreProcessor
from .segmentor import ReferringSegmentor

__all__ = [
    'LightDecodeHead',
    'ReferringDataPreProcessor',
    'ReferringSegmentor',
    'encoders',
    'fusion',
    'initializer',
    'losses',
]
