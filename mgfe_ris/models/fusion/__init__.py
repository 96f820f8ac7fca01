from .bidirectional_attention import BidirectionalAttention
from .co_attention import CoAttention
from .conv_attention import ConvAttention
from .double_attention import DoubleAttention
from .dynamic_weight import DynamicWeight
from .fixed_weight import FixedWeight
from .language_gate import LanguageGate
from .mgfe import MGFE
from .neck import Fuse, MGFENeck
from .pixel_word_attention import PixelWordAttention
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'MGFE',
    'BidirectionalAttention',
    'CoAttention',
    'ConvAttention',
    'DoubleAttention',
    'DynamicWeight',
    'FixedWeight',
    'Fuse',
    'LanguageGate',
    'MGFENeck',
    'PixelWordAttention',
    'SqueezeExcitation',
]
