# Table 3, row 2: MGFE without DW: F = G + G'.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=None),
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
