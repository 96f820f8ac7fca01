# How large CombineLoss is: a quarter of it, in the same ratio. AdamW does not see the difference, clipping does: the
# tiny schedule clips gradients at norm 1.0.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice_weight=0.25, focal_weight=0.75),
)
