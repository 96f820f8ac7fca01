from .augmentations import ColourJitter, CropWithTarget, FlipWithWords, WordDropout
from .combined import ConcatDataset, MixedDataset, RepeatDataset
from .referring import ReferringDataset
from .samplers import PhotoBatchSampler
from .seeded import SeededDataset, SeededSampler
from .transforms import LoadPhoto, LoadReferringMask, OncePerPhoto, PickSentence

__all__ = [
    'ColourJitter',
    'ConcatDataset',
    'CropWithTarget',
    'FlipWithWords',
    'LoadPhoto',
    'LoadReferringMask',
    'MixedDataset',
    'OncePerPhoto',
    'PhotoBatchSampler',
    'PickSentence',
    'ReferringDataset',
    'RepeatDataset',
    'SeededDataset',
    'SeededSampler',
    'WordDropout',
]
