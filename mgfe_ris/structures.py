"""What a sample carries; and what sentences have become between a text encoder and the rest of a model: :class:`Text`.

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
``gt_share``       PixelData, (1, H, W) float: how much of   ``PackReferring-     loss, in the place of
                   a pixel is the object, in [0, 1]          Inputs``             ``gt_sem_seg``
``seg_logits``     PixelData, (2, h, w) float: background    model                metric, pictures, apis
                   and target, or (1, h, w), target alone;
                   of the model's own size
``polygons``       (P, N, 2) float tensor, in the place of    model that draws     metric, pictures, apis
                   ``seg_logits``: vertices x and y in
                   pixels of the input, (0, 0) its upper
                   left corner; NaN: no vertex
``no_target_-``    scalar tensor, above 0: the sentence      model                metric, pictures, apis
``logit``          means nothing in the photo, and the mask
                   is empty; without it, the model does not
                   say
``mask_rule``      :class:`MaskRule`, where it is not the    model                metric, pictures, apis
                   usual one
``to_input``       ((a, b, c), (d, e, f)): where a pixel     ``Letterbox``,       metric, pictures, apis
                   (x, y) of the photo lies in the input,    ``FitAndPad``
                   (a x + b y + c, d x + e y + f); without
                   it, the photo was stretched
``parts``          int, polygons that make the object's      ``LoadReferring-     metric, protocols with
                   mask                                      Mask``               ``crowds``
``fitted``         (height, width) of the photo within the   ``FitAndPad``        model
                   input, of which the rest is padding
``pred_sem_seg``   PixelData, (1, H, W) int64: 1 = target,   model                metric, pictures
                   at the size of ``gt_sem_seg``, without
                   which it is the input's
=================  ========================================  ===================  ==========================

Strings and numbers are metainfo, tensors are data fields: ``.to(device)`` moves the latter only.

What holds for a whole data set stands in its own ``metainfo``, which metrics get as ``dataset_meta``: ``split`` (str,
names the file of lines) and ``protocol`` (dict, for reports; of several data sets a list of theirs, under ``parts``).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor

from .polygons import filled, moved

__all__ = [
    'MaskRule',
    'SegDataSample',
    'Text',
    'gives_scores',
    'logits_of',
    'mask_of',
    'scores_and_mask',
    'target_logit',
    'touched_mask',
]


class Text(NamedTuple):
    """A batch of sentences, as a text encoder returns them."""

    words: Tensor
    """(B, T, D)."""
    mask: Tensor
    """(B, T), True = a word, False = padding, whose words have no meaning."""
    sentence: Tensor | None = None
    """(B, E), the state that the text encoder's config names; None, where it names none."""


@dataclass(frozen=True)
class MaskRule:
    """How a model's logits become a mask, as its authors have it.

    Raises:
        ValueError: a threshold that is no probability, or other words than those below.
    """

    threshold: float = 0.5
    """The mask is where the target's probability is larger."""
    of: str = 'logits'
    """What is resized: ``logits``, so that a border lies where they cross; or ``scores``, the probabilities."""
    resize: str = 'bilinear'
    """To the input's size, and from there to the photo's: ``bilinear`` or ``bicubic``."""
    align_corners: bool = False
    """Of the step to the input's size."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f'threshold must be between 0 and 1; got {self.threshold!r}')
        if self.of not in ('logits', 'scores') or self.resize not in ('bilinear', 'bicubic'):
            raise ValueError(f"of must be 'logits' or 'scores', resize 'bilinear' or 'bicubic'; got {self}")


def scores_and_mask(
    logits: Tensor,
    size: Sequence[int],
    sample: Any = None,
    threshold: float | None = None,
    stretched_from: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """What a model thinks of each pixel of a photo, and its mask: the one way from logits to a photo.

    Args:
        logits: (2, h, w) of background and target, or (1, h, w) of the target.
        size: (height, width) of the photo or of the model's input.
        sample: whose logits they are; ``to_input``, ``img_shape``, ``mask_rule`` and ``no_target_logit`` are read,
            where it has them.
        threshold: None: the model's own.
        stretched_from: (height, width) of the photo, where ``size`` is one that it is stretched to: that of a protocol,
            say, which compares all masks at 480 x 480.

    Returns:
        the target's probability (height, width) float32, and the mask (height, width) bool.
    """
    values, rule = _placed(logits, size, sample, stretched_from)
    return (values if rule.of == 'scores' else values.sigmoid()), _meant(_above(values, rule, threshold), sample)


NO_SCORES = 'the model draws polygons: a pixel has no score of its own'
SOURCES = frozenset({'seg_logits', 'polygons'})
"""Keys of a sample of which a mask of any size can be made: a model writes one of them."""


def gives_scores(model: Any) -> bool:
    """Whether a model's pixels have scores; False: it draws polygons, see ``PolygonModel``."""
    return getattr(model, 'gives_scores', True)


def logits_of(sample: Any) -> Tensor | None:
    """What a model wrote into a sample, or into a dict of one: ``seg_logits``; None where it drew ``polygons``.

    Raises:
        ValueError: neither is there.
    """
    if sample.get('polygons') is not None:
        return None
    if (found := sample.get('seg_logits')) is None:
        raise ValueError('a sample has neither seg_logits nor polygons, of which a mask of another size could be made')
    return found['data'] if isinstance(found, dict) else found.data


def mask_of(
    logits: Tensor | None,
    size: Sequence[int],
    sample: Any = None,
    threshold: float | None = None,
    stretched_from: Sequence[int] | None = None,
) -> Tensor:
    """The mask alone; arguments as of :func:`scores_and_mask`, but that None stands for the sample's ``polygons``.

    Polygons are brought to the size that is asked for, and filled there: they have no pixels of their own.

    Raises:
        ValueError: a threshold for polygons, or such without ``img_shape``.
    """
    if logits is None:
        if threshold is not None:
            raise ValueError(f'{NO_SCORES}, which could be above a threshold; got threshold={threshold!r}')
        return _meant(_drawn(sample, size, stretched_from), sample)
    return _meant(_above(*_placed(logits, size, sample, stretched_from), threshold), sample)


def touched_mask(logits: Tensor | None, size: Sequence[int], sample: Any, threshold: float | None = None) -> Tensor:
    """The mask at the size of the model's input, ``img_shape``, and what it touches when it is stretched to ``size``;
    arguments as of :func:`scores_and_mask`.

    Raises:
        ValueError: a sample that does not say ``img_shape``.
    """
    if sample.get('img_shape') is None:
        raise ValueError("the size of the input is not known: add 'img_shape' to meta_keys of the last pipeline step")
    mask = mask_of(logits, sample['img_shape'][:2], sample, threshold)
    known = {key: sample.get(key) for key in ('to_input', 'img_shape')}
    return _to_size(mask.float()[None], size, MaskRule(), known, None)[0] > 0


def _drawn(sample: Any, size: Sequence[int], stretched_from: Sequence[int] | None) -> Tensor:
    """(height, width) bool, on the polygons' device."""
    if sample.get('img_shape') is None:
        raise ValueError("polygons need img_shape, the input's size, among the pipeline's meta_keys")
    found = sample.get('polygons')
    polygons = found.detach().double().cpu().numpy()
    polygons = moved(polygons, sample.get('img_shape')[:2], size, sample.get('to_input'), stretched_from)
    return torch.from_numpy(filled(polygons, size)).to(found.device)


def _placed(
    logits: Tensor, size: Sequence[int], sample: Any, stretched_from: Sequence[int] | None
) -> tuple[Tensor, MaskRule]:
    """What the rule resizes, at ``size``: logits of the target, or its probabilities."""
    known = {key: None if sample is None else sample.get(key) for key in ('mask_rule', 'to_input', 'img_shape')}
    rule: MaskRule = known['mask_rule'] or MaskRule()
    logits = logits.float()
    if rule.of == 'scores':
        return _to_size(target_logit(logits).sigmoid()[None], size, rule, known, stretched_from)[0], rule
    return target_logit(_to_size(logits, size, rule, known, stretched_from)), rule


def _above(values: Tensor, rule: MaskRule, threshold: float | None = None) -> Tensor:
    threshold = rule.threshold if threshold is None else threshold
    # in logits, where the values are: a score that is rounded to 0.5 would not tell which is larger
    return values > (threshold if rule.of == 'scores' else math.log(threshold / (1 - threshold)))


def _meant(mask: Tensor, sample: Any) -> Tensor:
    """Nothing of it, where the model says that the sentence means nothing."""
    no_target = None if sample is None else sample.get('no_target_logit')
    return mask if no_target is None else mask & ~(no_target > 0).to(mask.device)


def target_logit(logits: Tensor) -> Tensor:
    """(2, ...) or (1, ...) -> what the sigmoid is taken of."""
    return logits[1] - logits[0] if len(logits) == 2 else logits[0]


def _to_size(
    maps: Tensor, size: Sequence[int], rule: MaskRule, known: dict, stretched_from: Sequence[int] | None
) -> Tensor:
    """(C, h, w) -> (C, height, width): stretched, or by way of the input, in which the photo has its place."""
    size = tuple(size)
    if known['to_input'] is None:
        return _stretch(maps, size, rule)
    input_size = tuple(known['img_shape'][:2])
    maps = _stretch(maps, input_size, rule)
    if stretched_from is None and size == input_size:
        return maps
    return _cut_out(maps, size, stretched_from or size, known['to_input'], rule.resize)


def _stretch(maps: Tensor, size: tuple[int, ...], rule: MaskRule) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps[None], size, mode=rule.resize, align_corners=rule.align_corners)[0]


def _cut_out(
    maps: Tensor, size: tuple[int, ...], photo: Sequence[int], to_input: Sequence[Sequence[float]], mode: str
) -> Tensor:
    """The photo's part of the input, stretched from the photo's size to ``size``; beyond the input's pixels there
    is 0."""
    matrix = torch.tensor(to_input, dtype=torch.float64)
    # where the middles of pixels lie in the photo; where nothing is stretched, its pixels' own numbers
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) * of / n - 0.5 for n, of in zip(size, photo, strict=True))
    y, x = torch.meshgrid(y, x, indexing='ij')
    places = torch.stack([x, y, torch.ones_like(x)], dim=-1) @ matrix.T
    ends = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], dtype=torch.float64)
    grid = (places / ends * 2 - 1).to(maps)[None]
    return F.grid_sample(maps[None], grid, mode=mode, padding_mode='zeros', align_corners=True)[0]
