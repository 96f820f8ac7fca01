from .augmentations import ColourJitter, CropWithTarget, FlipWithWords, WordDropout
from .referring import ReferringDataset
from .samplers import PhotoBatchSampler
from .transforms import LoadPhoto, LoadReferringMask, OncePerPhoto, PickSentence

__all__ = [
    'ColourJitter',
    'CropWithTarget',
    'FlipWithWords',
    'LoadPhoto',
    'LoadReferringMask',
    'OncePerPhoto',
    'PhotoBatchSampler',
    'PickSentence',
    'ReferringDataset',
    'WordDropout',
]
