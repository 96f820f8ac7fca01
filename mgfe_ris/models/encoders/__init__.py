from .resnet import ResNetEncoder
from .swin import SwinEncoder
from .text import HFTextEncoder, HFTokenizer

__all__ = ['HFTextEncoder', 'HFTokenizer', 'ResNetEncoder', 'SwinEncoder']
