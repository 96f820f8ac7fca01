"""Dice and a boundary term: row 3 of Table 8."""

import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from .processes import mean_over_processes
from .target import softmax_and_one_hot


@MODELS.register_module()
class BoundaryF1Loss(nn.Module):
    """1 - F1 of soft boundaries (Bokhovkin and Burnaev, 2019), mean over photos and classes.

        b(x) = max_3x3(1 - x) - (1 - x)              of a mask: the pixels inside that touch the outside
        e(b) = max_5x5(b)                            two pixels to each side are as good
        P = sum b(p) e(b(y)) / sum b(p),   R = sum b(y) e(b(p)) / sum b(y),   loss = 1 - 2 P R / (P + R)

    A photo whose truth has no boundary, one without a target or filled by it, costs 1 whatever is said of it, and has
    no gradient.

    Args:
        ignore_index: label of pixels that count nowhere: they are no outside to their neighbours, and no boundary.
        delta: added to each of the three denominators, against 0 / 0.
    """

    def __init__(self, ignore_index: int = 255, delta: float = 1e-7):
        super().__init__()
        self.ignore_index = ignore_index
        self.delta = delta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        p_s, y, valid = softmax_and_one_hot(logits, target, self.ignore_index)
        p, y = _boundary(p_s, valid), _boundary(y.to(p_s.dtype), valid)
        precision = (p * _near(y)).sum((2, 3)) / (p.sum((2, 3)) + self.delta)
        recall = (y * _near(p)).sum((2, 3)) / (y.sum((2, 3)) + self.delta)
        return mean_over_processes(1 - 2 * precision * recall / (precision + recall + self.delta))


@MODELS.register_module()
class DiceBoundaryLoss(nn.Module):
    """Multi-class Dice + weight * boundary.

    Args:
        weight: of the boundary term. The paper prints none; 0.05 in its code base.
        dice: config of the Dice term.
        ignore_index: label of pixels that count nowhere, for both terms unless ``dice`` names its own.
    """

    def __init__(self, weight: float = 0.05, dice: dict | None = None, ignore_index: int = 255):
        super().__init__()
        self.weight = weight
        self.dice = MODELS.build({'type': 'MultiClassDiceLoss', 'ignore_index': ignore_index, **(dice or {})})
        self.boundary = BoundaryF1Loss(ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """logits (B, C, H, W), target (B, H, W) int64 -> the two terms, to be added."""
        return {
            'loss_dice': self.dice(logits, target),
            'loss_boundary': self.weight * self.boundary(logits, target),
        }


def _boundary(x: Tensor, valid: Tensor) -> Tensor:
    """Neither the photo's border nor that of ignored pixels is one: nothing is known of what lies behind it."""
    return (F.max_pool2d((1 - x) * valid, 3, stride=1, padding=1) - (1 - x)) * valid


def _near(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 5, stride=1, padding=2)
