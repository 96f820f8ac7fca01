"""mmpretrain's backbones that ours subclass, also where its multimodal models do not know the version of transformers.

With transformers 5, which lacks what those import, ``import mmpretrain.models`` would fail as a whole. mmpretrain does
without them where transformers is missing, and so here.
"""

from mmpretrain.utils import dependency

from .fast_tokenizer import FIVE

if FIVE:
    dependency.WITH_MULTIMODAL = False  # read when its models are first imported

from mmpretrain.models.backbones import ConvNeXt, VisionTransformer
from mmpretrain.models.utils import resize_pos_embed

__all__ = ['ConvNeXt', 'VisionTransformer', 'resize_pos_embed']
