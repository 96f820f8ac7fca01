"""CombineLoss: section 3.3, eq. 16."""

from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class CombineLoss(nn.Module):
    """alpha_D * Dice + beta_F * focal.

    Args:
        ratio: alpha_D / beta_F; the paper gives only this (Table 9, best 0.33 = 1:3).
        dice: config of the Dice term.
        focal: config of the focal term.
        total: alpha_D + beta_F. AdamW does not see it, as long as no gradient is clipped.

    Raises:
        ValueError: if ``ratio`` or ``total`` is not positive.
    """

    def __init__(self, ratio: float = 1 / 3, dice: dict | None = None, focal: dict | None = None, total: float = 1.0):
        super().__init__()
        if not (ratio > 0 and total > 0):
            raise ValueError(
                f'ratio = alpha_D / beta_F and total = alpha_D + beta_F must be positive; got {ratio}, {total}'
            )
        self.alpha = total * ratio / (1 + ratio)
        self.beta = total / (1 + ratio)
        self.dice = MODELS.build(dice or dict(type='MultiClassDiceLoss'))
        self.focal = MODELS.build(focal or dict(type='SoftmaxFocalLoss'))

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """logits (B, C, H, W), target (B, H, W) int64 -> the two weighted terms, to be added."""
        return {
            'loss_dice': self.alpha * self.dice(logits, target),
            'loss_focal': self.beta * self.focal(logits, target),
        }
