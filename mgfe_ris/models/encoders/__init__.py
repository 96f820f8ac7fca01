from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS

from .clip_resnet import CLIPResNetEncoder
from .clip_text import CLIPTextTower
from .clip_vit import CLIPViTEncoder
from .darknet import DarkNetEncoder
from .efficientnet_lite import EfficientNetLiteEncoder
from .resnet import ResNetEncoder
from .swin import SwinEncoder
from .text import HFTextEncoder, HFTokenizer

if TYPE_CHECKING:
    from .convnext import ConvNeXtEncoder
    from .vit import ViTEncoder

__all__ = [
    'CLIPResNetEncoder',
    'CLIPTextTower',
    'CLIPViTEncoder',
    'ConvNeXtEncoder',
    'DarkNetEncoder',
    'EfficientNetLiteEncoder',
    'HFTextEncoder',
    'HFTokenizer',
    'ResNetEncoder',
    'SwinEncoder',
    'ViTEncoder',
]

# These subclass mmpretrain's, which takes two seconds to import: only a config, or an import, that names one brings it
_OF_MMPRETRAIN = {'ConvNeXtEncoder': '.convnext', 'ViTEncoder': '.vit'}


def __getattr__(name: str) -> Any:
    if name not in _OF_MMPRETRAIN:
        raise AttributeError(f'module {__name__} has no attribute {name}')
    try:
        return getattr(import_module(_OF_MMPRETRAIN[name], __name__), name)
    except ModuleNotFoundError as error:
        if error.name != 'mmpretrain':
            raise
        raise ImportError(f'{name} needs mmpretrain, which is not installed: pip install onedl-mmpretrain') from error


def _register_builder(name: str) -> None:
    @MODELS.register_module(name)
    def build(*args: Any, **kwargs: Any) -> BaseModule:
        return __getattr__(name)(*args, **kwargs)


for _name in _OF_MMPRETRAIN:
    _register_builder(_name)
