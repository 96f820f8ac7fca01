from . import encoders, fusion, initializer, losses
from .base import ReferringModel
from .decode_head import LightDecodeHead
from .polygon_model import PolygonModel
from .preprocessor import ReferringDataPreProcessor
from .segmentor import ReferringSegmentor

__all__ = [
    'LightDecodeHead',
    'PolygonModel',
    'ReferringDataPreProcessor',
    'ReferringModel',
    'ReferringSegmentor',
    'encoders',
    'fusion',
    'initializer',
    'losses',
]
