# Table 3, row 3: the baseline with CombineLoss.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=None, weigh=dict(_delete_=True, type='LanguageGate'), decoder_reads='G'),
)
