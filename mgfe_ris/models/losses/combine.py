"""CombineLoss: section 3.3, eq. 16."""

from mmseg.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
class CombineLoss(nn.Module):
    """alpha_D * Dice + beta_F * focal.

    By default as printed in eqs. 16 to 23, with the weights of the paper's code base: 1 and 3. AdamW does not see a
    factor of both, clipping and logged values do.

    Args:
        dice_weight: alpha_D. Table 9 varies both weights, by their ratio: the best is 1 : 3.
        focal_weight: beta_F.
        dice: config of the Dice term.
        focal: config of the focal term.
        ratio: alpha_D / beta_F, of weights that add up to 1: how configs and folders of models had it before both were
            arguments.

    Raises:
        ValueError: if a weight is not positive.
    """

    def __init__(
        self,
        dice_weight: float = 1,
        focal_weight: float = 3,
        dice: dict | None = None,
        focal: dict | None = None,
        ratio: float | None = None,
    ):
        super().__init__()
        if ratio is not None and ratio > 0:
            dice_weight, focal_weight = ratio / (1 + ratio), 1 / (1 + ratio)
        if not (dice_weight > 0 and focal_weight > 0 and (ratio is None or ratio > 0)):
            raise ValueError(
                'dice_weight (alpha_D) and focal_weight (beta_F), or their ratio, must be positive; got '
                f'{dice_weight}, {focal_weight}' + (f', ratio {ratio}' if ratio is not None else '')
            )
        self.dice_weight = dice_weight
        self.focal_weight = focal_weight
        self.dice = MODELS.build(dice or dict(type='MultiClassDiceLoss'))
        self.focal = MODELS.build(focal or dict(type='SoftmaxFocalLoss'))

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """logits (B, C, H, W), target (B, H, W) int64 -> the two weighted terms, to be added."""
        return {
            'loss_dice': self.dice_weight * self.dice(logits, target),
            'loss_focal': self.focal_weight * self.focal(logits, target),
        }
