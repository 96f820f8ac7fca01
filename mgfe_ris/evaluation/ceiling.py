"""What a coarse map of scores can hold of a mask: small and thin objects lose most."""

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import torch

from ..structures import mask_of
from .iou import intersection_and_union, summarize


def ceilings(truths: Iterable[np.ndarray], sides: Sequence[int]) -> dict[int, dict[str, float]]:
    """Metrics, see :func:`mgfe_ris.evaluation.summarize`, of a model that makes no mistake but has a map of few cells.

    Its score in a cell is the object's share of it, in a square map over the whole photo; masks are made of it as of
    any model's, and compared at the photo's own size. A map that is optimised for a mask would gain a little more.

    Args:
        truths: (H, W), 1 on the object, at the photo's size.
        sides: cells along a side of the map.

    Raises:
        ValueError: no mask, or a side below 1.
    """
    if below := [side for side in sides if side < 1]:
        raise ValueError(f'a map has at least 1 cell along its side; got {below[0]}')
    found: dict[int, list[tuple[int, int]]] = {side: [] for side in sides}
    for mask in truths:
        truth = torch.from_numpy(mask == 1)
        for side, counts in found.items():
            intersection, union = intersection_and_union(_drawn(mask == 1, side), truth)
            counts.append((int(intersection), int(union)))
    return {side: summarize(*np.reshape(counts, (-1, 2)).T) for side, counts in found.items()}


def _drawn(mask: np.ndarray, side: int) -> torch.Tensor:
    share = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
    return mask_of(torch.from_numpy(2 * share - 1)[None], mask.shape)  # above 0 where the share is above a half
