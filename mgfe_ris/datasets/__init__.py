from .augmentations import ColourJitter, CropWithTarget, FlipWithWords, WordDropout
from .combined import ConcatDataset, MixedDataset, RepeatDataset
from .letterbox import FitAndPad, Letterbox, PackReferringInputs
from .referring import ReferringDataset
from .samplers import PhotoBatchSampler
from .seeded import SeededDataset, SeededSampler
from .transforms import LoadPhoto, LoadReferringMask, OncePerPhoto, PickSentence

__all__ = [
    'ColourJitter',
    'ConcatDataset',
    'CropWithTarget',
    'FitAndPad',
    'FlipWithWords',
    'Letterbox',
    'LoadPhoto',
    'LoadReferringMask',
    'MixedDataset',
    'OncePerPhoto',
    'PackReferringInputs',
    'PhotoBatchSampler',
    'PickSentence',
    'ReferringDataset',
    'RepeatDataset',
    'SeededDataset',
    'SeededSampler',
    'WordDropout',
]
