"""What a sample carries.

Data sets, models, metrics and pictures do not import one another; they meet in the keys of mmseg's
:class:`SegDataSample`, one per photo and sentence:

=================  ========================================  ===================  ==========================
key                value                                     written by           read by
=================  ========================================  ===================  ==========================
``img_path``       str, the photo's file                     data set             metric, pictures
``img_id``         int, of ``instances.json``                data set             metric
``ref_id``         int, the object's, of the refs            data set             metric, pictures
``sent_id``        int, the sentence's, of the refs          ``PickSentence``     metric, pictures
``sentence``       str                                       ``PickSentence``     all but the loss
``ori_shape``      (height, width) of the photo, pixels      ``LoadPhoto``        apis
``img_shape``      (height, width) of the input, pixels      ``Resize``           apis
``part``           int, of which data set the sample is      data set, of         metric
                   among several                             several
``others``,        int, how many other objects are           data set, for        metric
``same_category``  annotated in the photo                    evaluation
``reviewed_out``   bool, a review found the sentence wrong   data set, with       metric
                                                             ``exclude``
``gt_sem_seg``     PixelData, (1, H, W) int64: 1 on the      ``PackSegInputs``    loss, metric, pictures
                   object, 0 elsewhere, 255 = ignore
``seg_logits``     PixelData, (2, H, W) float: background    segmentor            metric, pictures, apis
                   and target, at the input's size
``pred_sem_seg``   PixelData, (1, H, W) int64: 1 = target,   segmentor            metric, pictures
                   at the size of ``gt_sem_seg``, without
                   which it is the input's
=================  ========================================  ===================  ==========================

Strings and numbers are metainfo, tensors are data fields: ``.to(device)`` moves the latter only.

What holds for a whole data set stands in its own ``metainfo``, which metrics get as ``dataset_meta``: ``split`` (str,
names the file of lines) and ``protocol`` (dict, for reports; of several data sets a list of theirs, under ``parts``).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

__all__ = ['SegDataSample', 'resize_logits']


def resize_logits(logits: Tensor, size: Sequence[int]) -> Tensor:
    """``seg_logits`` (2, h, w) -> (2, height, width) float32, bilinear: what a mask of another size is made from.

    The border then lies where the logits cross, which a resized mask would not know.
    """
    return F.interpolate(logits[None].float(), tuple(size), mode='bilinear', align_corners=False)[0]
