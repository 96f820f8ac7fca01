from .referring import ReferringDataset
from .transforms import LoadPhoto, LoadReferringMask, PickSentence

__all__ = ['LoadPhoto', 'LoadReferringMask', 'PickSentence', 'ReferringDataset']
