from .convnext import ConvNeXtEncoder
from .resnet import ResNetEncoder
from .swin import SwinEncoder
from .text import HFTextEncoder, HFTokenizer
from .vit import ViTEncoder

__all__ = ['ConvNeXtEncoder', 'HFTextEncoder', 'HFTokenizer', 'ResNetEncoder', 'SwinEncoder', 'ViTEncoder']
