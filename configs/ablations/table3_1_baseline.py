# Table 3, row 1: the baseline, which is LAVT.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=None, weigh=dict(_delete_=True, type='LanguageGate'), decoder_reads='G'),
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
