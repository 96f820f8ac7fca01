# How large CombineLoss is: Dice + 3 focal, 4 times the default, which has the same ratio.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(total=4.0),
)
