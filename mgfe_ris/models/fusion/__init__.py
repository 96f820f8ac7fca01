from .bidirectional_attention import BidirectionalAttention
from .co_attention import CoAttention
from .collect_diffuse import CollectDiffuseAttention
from .conv_attention import ConvAttention
from .cross_modal_attention import CrossModalAttention
from .dynamic_weight import DynamicWeight
from .entity_relation_graph import EntityRelationGraph
from .fixed_weight import FixedWeight
from .grouped_attention import GroupedAttention
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
    'CrossModalAttention',
    'DynamicWeight',
    'EntityRelationGraph',
    'FixedWeight',
    'Fuse',
    'GroupedAttention',
    'LanguageGate',
    'MGFENeck',
    'PixelWordAttention',
    'PooledSentence',
    'SqueezeExcitation',
]
