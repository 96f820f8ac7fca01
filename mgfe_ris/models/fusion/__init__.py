from .dynamic_weight import DynamicWeight
from .language_gate import LanguageGate
from .mgfe import MGFE
from .neck import Fuse, MGFENeck
from .pixel_word_attention import PixelWordAttention

__all__ = ['MGFE', 'DynamicWeight', 'Fuse', 'LanguageGate', 'MGFENeck', 'PixelWordAttention']
