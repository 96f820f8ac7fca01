# Beside Table 8: CombineLoss with p^2 in the denominator of Dice, as the paper's code base has it, in the place of the
# p of eq. 19: an unsure pixel, whose p^2 is small, costs less.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice=dict(type='MultiClassDiceLoss', squared=True)),
)
