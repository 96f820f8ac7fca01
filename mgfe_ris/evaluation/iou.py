"""oIoU, mIoU and P@X as referring segmentation defines them (method of LAVT and of the paper, sec. 4.1)."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def intersection_and_union(pred: Tensor, truth: Tensor, ignore_index: int = 255) -> tuple[Tensor, Tensor]:
    """Pixels in both and in either mask.

    Args:
        pred: (..., H, W), 1 or True on the target.
        truth: (..., H, W), the same, or ``ignore_index`` where nothing counts.
        ignore_index: label of pixels that count nowhere.

    Returns:
        two int64 tensors of shape (...).
    """
    valid = truth != ignore_index
    pred, truth = (pred == 1) & valid, (truth == 1) & valid
    return (pred & truth).sum((-2, -1)), (pred | truth).sum((-2, -1))


def iou_of(
    intersections: Sequence[int] | np.ndarray, unions: Sequence[int] | np.ndarray, added: float = 0.0
) -> np.ndarray:
    """Of each sample, in [0, 1]: I / (U + added), or, for 0, I / max(U, 1)."""
    i, u = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
    return i / (u + added if added else np.maximum(u, 1))


def summarize(
    intersections: Sequence[int] | np.ndarray,
    unions: Sequence[int] | np.ndarray,
    added: float = 0.0,
    strict: bool = False,
) -> dict[str, float]:
    """Records of all samples -> percentages.

    oIoU: sum of intersections over sum of unions. mIoU: mean IoU of the samples; a sample whose union is empty
    counts 0. P@X: share of samples with IoU >= X.

    Args:
        intersections, unions: pixels of each sample.
        added, strict: see :class:`mgfe_ris.evaluation.ScoringProtocol`.

    Raises:
        ValueError: if there is no sample.
    """
    i, u = np.asarray(intersections, np.float64), np.asarray(unions, np.float64)
    if not len(i):
        raise ValueError('no sample to evaluate')
    iou = iou_of(i, u, added)
    metrics = {'oIoU': i.sum() / max(u.sum(), 1), 'mIoU': iou.mean()}
    metrics |= {f'P@{x}': (iou > float(np.float32(x)) if strict else iou >= x).mean() for x in THRESHOLDS}
    return {name: 100 * float(value) for name, value in metrics.items()}
