"""Further ways of scoring what a test computed once: other sizes of masks, thresholds, definitions of IoU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..structures import NO_SCORES, SOURCES, logits_of, mask_of, touched_mask


@dataclass(frozen=True)
class ScoringProtocol:
    """How masks come from logits, and numbers from masks.

    Raises:
        ValueError: a size, threshold or constant that is none.
    """

    size: tuple[int, int] | None = None
    """(height, width) to which photo and truth are stretched before masks are compared; None: the photo's own."""
    threshold: float | None = None
    """Of the score; None: the model's own. Scores are always brought to a photo in the model's own way."""
    added: float = 0.0
    """IoU = I / (U + added); 0: I / max(U, 1). 1e-6 in the code of CRIS, ETRIS and BarLeRIa."""
    strict: bool = False
    """P@X counts an IoU above X, X in float32, as their code has it; False: X or above."""
    grown: bool = False
    """The mask is made at the size of the model's input; stretched (bilinear) to the photo's, every pixel that has any
    part of it counts, as EFN's authors score: masks grow by a fraction of a pixel of the input. Without ``size``."""
    crowds: bool = False
    """An object in several parts is scored as a crowd in COCO: IoU = I / (area of the prediction), as SeqTR's authors
    score, which is never less than I / U."""

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, 'size', tuple(self.size))  # a list, in a config
            if len(self.size) != 2 or not all(isinstance(side, int) and side > 0 for side in self.size):
                raise ValueError(f'size must be (height, width) in pixels; got {self.size!r}')
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(f'threshold must be between 0 and 1; got {self.threshold!r}')
        if not 0 <= self.added < 1:
            raise ValueError(f'added must be at least 0 and below 1; got {self.added!r}')
        if self.grown and self.size is not None:
            raise ValueError(f"grown masks are compared at the photo's own size: leave out size; got {self.size}")

    def __str__(self) -> str:
        place = "the photo's own size" if self.size is None else '{} x {}'.format(*self.size)
        mask = "the model's own threshold" if self.threshold is None else f'score above {self.threshold:g}'
        mask += " at the input's size, then whatever it touches" if self.grown else ''
        iou = f'I / (U + {self.added:g})' if self.added else 'I / U'
        iou += ', I / prediction for objects in several parts' if self.crowds else ''
        return f'masks compared at {place}; {mask}; IoU = {iou}; P@X: IoU {"above" if self.strict else "at least"} X'

    def masks(self, sample: Mapping[str, Any], tested: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and truth (1, H, W) of a sample with logits or polygons, and a truth of the photo's own size.

        Args:
            tested: the mask by the model's own threshold at the photo's size, which may be what is asked for.

        Raises:
            ValueError: neither, or a truth of another size; a threshold, where there are polygons.
        """
        truth = sample['gt_sem_seg']['data']
        photo = tuple(sample.get('ori_shape', ())[:2])
        if not SOURCES & sample.keys() or tuple(truth.shape[-2:]) != photo:
            raise ValueError(
                f"protocols need each sample's seg_logits, and a truth of the photo's own size, {photo}; got one of "
                f"{tuple(truth.shape[-2:])}. Set score_at='photo' in the data set"
            )
        pred, truth = self._compared(sample, tested, truth, photo)
        return pred, (truth * (pred == 1) if self.crowds and self._in_parts(sample) else truth)

    def _compared(self, sample: Mapping, tested: Tensor, truth: Tensor, photo: tuple) -> tuple[Tensor, Tensor]:
        if self.grown:
            return touched_mask(logits_of(sample), photo, sample, self.threshold)[None], truth
        if self.size is None and self.threshold is None:
            return tested, truth
        size = self.size or photo
        pred = mask_of(logits_of(sample), size, sample, self.threshold, stretched_from=photo)
        return pred[None], stretched(truth, size)

    def _in_parts(self, sample: Mapping) -> bool:
        if 'parts' not in sample:
            raise ValueError(
                "protocols with crowds=True need to know of parts: add 'parts' to the pipeline's meta_keys"
            )
        return sample['parts'] > 1


def read_protocols(protocols: Mapping[str, Mapping[str, Any]] | None) -> dict[str, ScoringProtocol]:
    """Of a config, by name.

    Raises:
        ValueError: a name that could not stand before a metric's, or settings that no protocol has; it is named.
    """
    found = {}
    for name, settings in (protocols or {}).items():
        if not name or '/' in name:
            raise ValueError(f'a protocol needs a name without "/", which stands before its metrics; got {name!r}')
        try:
            found[name] = ScoringProtocol(**settings)
        except (TypeError, ValueError) as error:
            raise ValueError(f'protocols, {name}: {error}') from error
    return found


def require_no_threshold(protocols: Mapping[str, ScoringProtocol]) -> None:
    """Raises a ValueError for one with a threshold, which a model without scores cannot be tested by."""
    if named := [name for name, protocol in protocols.items() if protocol.threshold is not None]:
        raise ValueError(
            f'a threshold is set in the protocols {", ".join(named)}, and {NO_SCORES}. Set it to None there, in the '
            "protocols of the config's evaluators"
        )


def stretched(truth: Tensor, size: Sequence[int]) -> Tensor:
    """(1, h, w) -> (1, height, width): the pixels that Pillow's nearest takes, as pipelines stretch their truth."""
    if tuple(truth.shape[-2:]) == tuple(size):
        return truth
    sides = zip(truth.shape[-2:], size, strict=True)
    rows, columns = (torch.from_numpy(_nearest(of, count)).to(truth.device) for of, count in sides)
    return truth[:, rows][:, :, columns]


@lru_cache(maxsize=256)
def _nearest(of: int, count: int) -> np.ndarray:
    """Which of a line's pixels Pillow takes, asked of Pillow: it adds up steps, and so rounds in its own way."""
    line = Image.fromarray(np.arange(of, dtype=np.int32)[None])
    return np.array(line.resize((count, 1), Image.Resampling.NEAREST))[0].astype(np.int64)
