from . import encoders, fusion, initializer, losses
from .base import ReferringModel
from .conv_lstm_head import ConvLSTMHead
from .decode_head import LightDecodeHead
from .gated_fusion_head import GatedFusionHead
from .polygon_model import PolygonModel
from .preprocessor import ReferringDataPreProcessor
from .segmentor import ReferringSegmentor

__all__ = [
    'ConvLSTMHead',
    'GatedFusionHead',
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
