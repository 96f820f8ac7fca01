"""gIoU, cIoU, N-acc, T-acc and Pr@X: a sentence may name no object, one, or several.

As "GRES: Generalized Referring Expression Segmentation" (Liu, Ding, Jiang, CVPR 2023, arXiv 2306.00968) and the
evaluator of its repository, henghuiding/ReLA (``gres_model/evaluation/refer_evaluation.py``), define them:

===================  =======================  ==========================  ======================
truth, prediction    IoU of the sample        adds to cIoU                adds to
===================  =======================  ==========================  ======================
empty, empty         1                        nothing                     N-acc, right
empty, some pixels   0                        its pixels to the union     N-acc, wrong
some, empty          0                        the truth to the union      T-acc, wrong; Pr@X
some, some           intersection over union  intersection and union      T-acc, right; Pr@X
===================  =======================  ==========================  ======================

- gIoU: mean IoU of all samples. cIoU: sum of intersections over sum of unions.
- N-acc: share of the samples without a target whose prediction is empty. T-acc: share of those with a target whose
  prediction is not.
- Pr@X: share of the samples *with* a target whose IoU is at least X (the evaluator; "higher than" in the paper).
- A truth is empty if no pixel of it is 1. Some models, as ReLA, say whether a sentence means nothing, by the sample's
  ``no_target_logit``: then a prediction is empty if that is said, whatever its mask is, and it is cleared. Of models
  that give a mask and nothing else, a prediction is empty if it has fewer than ``min_pixels`` pixels, and is cleared:
  the paper's rule, with 50 pixels.
- The evaluator clears nothing: where a prediction is empty and the truth is not, it drops the intersection but leaves
  the mask's pixels in cIoU's union. Evaluator and paper agree in all else but Pr@X.
- T-acc is TN / (TN + FP), an empty truth being positive. The evaluator at commit a389648 computes TP / (TP + FP + 1),
  and N-acc with the same + 1; the version in most repositories built on it is the paper's, without them.
- A figure whose denominator is 0 is left out: N-acc without a sample lacking a target, T-acc and Pr@X without one
  having a target, cIoU without a pixel in any mask. The evaluator reports 0 or fails.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmseg.registry import METRICS
from torch import Tensor

from ..structures import logits_of, mask_of
from .metric import USUAL, RefSegMetric
from .protocols import ScoringProtocol

THRESHOLDS = (0.7, 0.8, 0.9)
MIN_PIXELS = 50
CONVENTIONS: dict[str, dict[str, Any]] = {'evaluator': dict(cleared=False), 'paper': dict(strict=True)}
"""By what they differ from ours."""


def summarize_generalized(
    intersections: Sequence[int],
    unions: Sequence[int],
    predicted: Sequence[int],
    true: Sequence[int],
    min_pixels: int = MIN_PIXELS,
    no_target: Sequence[int] | None = None,
    cleared: bool = True,
    strict: bool = False,
) -> dict[str, float]:
    """Records of all samples -> percentages, by the conventions at the head of this module.

    Args:
        intersections: pixels in both masks.
        unions: pixels in either mask.
        predicted: pixels of the prediction.
        true: pixels of the truth.
        min_pixels: a prediction of fewer is empty; 1: only one without any.
        no_target: 1: the model says that nothing is meant, and the prediction is empty; 0: that something is, and it is
            not; -1: the model says neither, and ``min_pixels`` decides. None: -1 for all.
        cleared: an empty prediction has no pixel in cIoU's union; False: as the evaluator.
        strict: Pr@X counts an IoU above X, as in the paper's text; False: X or above, as the evaluator.

    Raises:
        ValueError: if there is no sample.
    """
    if not len(intersections):
        raise ValueError('no sample to evaluate')
    said = np.full(len(intersections), -1) if no_target is None else np.asarray(no_target)
    found, target = np.where(said < 0, np.asarray(predicted) >= min_pixels, said == 0), np.asarray(true) > 0
    i = np.where(found, intersections, 0)
    u = np.where(found, unions, true)
    iou = np.where(found | target, i / np.maximum(u, 1), 1)
    if not cleared:
        u = np.where(found | target, unions, true)
    metrics = {'gIoU': iou.mean()}
    if u.any():
        metrics['cIoU'] = i.sum() / u.sum()
    if not target.all():
        metrics['N-acc'] = (~found[~target]).mean()
    if target.any():
        metrics['T-acc'] = found[target].mean()
        metrics |= {f'Pr@{x}': (iou[target] > x if strict else iou[target] >= x).mean() for x in THRESHOLDS}
    return {name: 100 * float(value) for name, value in metrics.items()}


@METRICS.register_module()
class GeneralizedRefSegMetric(RefSegMetric):
    """gIoU, cIoU, N-acc, T-acc and Pr@0.7 to Pr@0.9 in percent, by the conventions at the head of this module.

    Args:
        min_pixels: a prediction of fewer pixels, at the size of the truth, is empty; of models that do not say
            themselves whether a sentence means nothing.
        conventions: further sets of the same figures, ``evaluator/cIoU`` beside ``cIoU``: ``'evaluator'``, which clears
            nothing, and ``'paper'``, whose Pr@X is strict.
        **kwargs: of :class:`RefSegMetric`. A line per sample also holds the pixels of each mask, ``pred_pixels`` and
            ``truth_pixels``, and ``no_target``: 1, where the model says that nothing is meant, 0, that something is,
            -1, where it says neither. Masks and pixels are the model's, nothing cleared; ``iou`` is the one that gIoU
            averages.

    Raises:
        ValueError: if ``min_pixels`` is less than 1; an unknown convention; or a protocol with another definition of
            IoU or Pr@X than the one above.
    """

    def __init__(self, min_pixels: int = MIN_PIXELS, conventions: Sequence[str] = (), **kwargs):
        if min_pixels < 1:
            raise ValueError(f'min_pixels must be at least 1, for a prediction of no pixel is empty; got {min_pixels}')
        if unknown := [name for name in conventions if name not in CONVENTIONS]:
            raise ValueError(f'conventions must be of {list(CONVENTIONS)}; got {unknown}')
        super().__init__(**kwargs)
        self.min_pixels = min_pixels
        self.conventions = tuple(conventions)
        for name, protocol in self.protocols.items():
            if protocol.added or protocol.strict:
                raise ValueError(f'protocols, {name}: gIoU and cIoU have no added and strict, RefSegMetric has')

    counts = ('intersection', 'union', 'pred_pixels', 'truth_pixels', 'no_target')
    main = ('gIoU', 'cIoU')

    def count(self, pred: Tensor, truth: Tensor) -> list[Tensor]:
        """Two masks (1, H, W) -> int64 scalars on their device."""
        intersection, union = super().count(pred, truth)
        truth_pixels = (truth == 1).sum()
        return [intersection, union, union + intersection - truth_pixels, truth_pixels]

    def _masks(self, sample: dict) -> tuple[Tensor, Tensor]:
        """Prediction and truth, of the truth's size; nothing cleared."""
        if sample.get('no_target_logit') is None:
            return super()._masks(sample)
        truth = sample['gt_sem_seg']['data']
        return mask_of(logits_of(sample), truth.shape[-2:], _uncleared(sample))[None].long(), truth

    def _count_all(self, pred: Tensor, truth: Tensor, sample: dict) -> Tensor:
        counts = super()._count_all(pred, truth, _uncleared(sample))
        logit = sample.get('no_target_logit')
        said = counts.new_tensor(-1) if logit is None else (logit > 0).to(counts)
        return torch.cat([counts, said.expand(len(counts), 1)], dim=1)

    def iou(self, record: dict, protocol: ScoringProtocol = USUAL) -> float:
        """Of one sample, in [0, 1], as gIoU averages it."""
        return self.summarize([record])['gIoU'] / 100

    def summarize(self, records: list[dict], protocol: ScoringProtocol = USUAL) -> dict[str, float]:
        """Records of all samples -> percentages."""
        i, u, predicted, true, no_target = ([record[key] for record in records] for key in self.counts)
        counted = (i, u, predicted, true, self.min_pixels, no_target)
        metrics = summarize_generalized(*counted)
        for name in self.conventions:
            metrics |= {f'{name}/{k}': v for k, v in summarize_generalized(*counted, **CONVENTIONS[name]).items()}
        return metrics


def _uncleared(sample: dict) -> dict:
    """The sample as one of a model that gives a mask and nothing else."""
    return {key: value for key, value in sample.items() if key != 'no_target_logit'}
