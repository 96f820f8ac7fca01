"""How much of a model's masks changes when it computes otherwise."""

from typing import Any

import numpy as np
from torch import Tensor

from .iou import intersection_and_union, iou_of, summarize


class MaskChanges:
    """Counts masks of the same sentences, as they were and as they are."""

    def __init__(self) -> None:
        self.pixels = self.changed = 0
        self._same: list[float] = []  # IoU of both masks; 1 where both are empty
        self._counts: dict[str, list[tuple[int, int]]] = {'before': [], 'after': []}

    def add(self, before: Tensor, after: Tensor, truth: Tensor) -> None:
        """Of one sentence: two masks (H, W) bool, and the truth (H, W), 1 on the object, 255 where nothing counts."""
        self.pixels += before.numel()
        self.changed += int((before != after).sum())
        intersection, union = (int(count) for count in intersection_and_union(after, before.long()))
        self._same.append(float(iou_of([intersection], [union])[0]) if union else 1.0)
        for name, mask in (('before', before), ('after', after)):
            intersection, union = (int(count) for count in intersection_and_union(mask, truth))
            self._counts[name].append((intersection, union))

    def report(self) -> dict[str, Any]:
        """Percentages.

        - ``sentences``: how many, a number.
        - ``pixels_changed``: of all pixels of all photos, once for each sentence.
        - ``masks_changed``: of the sentences, those with another mask, be it by a pixel; ``below_0.99`` and so on,
          those whose two masks have a lower IoU.
        - ``before`` and ``after``: the metrics against the truth, see :func:`summarize`.

        Raises:
            ValueError: no sentence.
        """
        if not self._same:
            raise ValueError('no sentence whose masks could be compared')
        metrics = {name: summarize(*np.transpose(counts)) for name, counts in self._counts.items()}
        limits = {f'below_{limit}': self._share_below(limit) for limit in (0.99, 0.9, 0.5)}
        return dict(
            sentences=len(self._same),
            pixels_changed=100 * self.changed / self.pixels,
            masks_changed=self._share_below(1),
            **limits,
            **metrics,
        )

    def _share_below(self, limit: float) -> float:
        return 100 * sum(iou < limit for iou in self._same) / len(self._same)
