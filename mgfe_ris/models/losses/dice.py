"""Multi-class Dice loss: section 3.3, eqs. 17 to 19."""

from mmseg.registry import MODELS
from torch import Tensor, nn

from .processes import mean_over_processes, sum_over_processes
from .target import softmax_and_one_hot


@MODELS.register_module()
class MultiClassDiceLoss(nn.Module):
    """Mean over classes c of 1 - 2 sum(p_c y_c) / (sum p_c + sum y_c + delta), sums over pixels.

    Dice per class, then the mean: summed over classes together, both sums of the denominator would be the
    number of pixels, and the loss 1 - mean p(right), blind to small targets.

    Args:
        squared: sum p_c^2 in the place of sum p_c (Milletari et al., 3DV 2016): an unsure pixel, whose p^2 is small,
            costs less. Eq. 19 prints p; the code base that the paper's experiments are options of has p^2.
        over_batch: sum over the pixels of the whole batch, of all processes, instead of each photo's.
        ignore_index: label of pixels that count nowhere.
        delta: keeps an empty class from 0 / 0.
    """

    def __init__(self, squared: bool = False, over_batch: bool = False, ignore_index: int = 255, delta: float = 1e-6):
        super().__init__()
        self.squared = squared
        self.over_batch = over_batch
        self.ignore_index = ignore_index
        self.delta = delta

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """logits (B, C, H, W), target (B, H, W) int64 -> scalar."""
        p_s, y, valid = softmax_and_one_hot(logits, target, self.ignore_index)
        pixels = (0, 2, 3) if self.over_batch else (2, 3)
        overlap = (p_s * y).sum(pixels)
        mass = p_s.square() if self.squared else p_s
        total = (mass * valid).sum(pixels) + y.sum(pixels)
        if self.over_batch:
            overlap, total = sum_over_processes(overlap, total)
        loss = 1 - 2 * overlap / (total + self.delta)
        return loss.mean() if self.over_batch else mean_over_processes(loss)
