from .bidirectional_attention import BidirectionalAttention
from .co_attention import CoAttention
from .collect_diffuse import CollectDiffuseAttention
from .conv_attention import ConvAttention
from .dynamic_weight import DynamicWeight
from .fixed_weight import FixedWeight
from .language_gate import LanguageGate
from .mgfe import MGFE
from .neck import Fuse, MGFENeck
from .pixel_word_attention import PixelWordAttention
from .sentence import PooledSentence
from .squeeze_excitation import SqueezeExcitation

__all__ = [
    'MGFE',
    'BidirectionalAttention',
    'CoAttention',
    'CollectDiffuseAttention',
    'ConvAttention',
    'DynamicWeight',
    'FixedWeight',
    'Fuse',
    'LanguageGate',
    'MGFENeck',
    'PixelWordAttention',
    'PooledSentence',
    'SqueezeExcitation',
]
