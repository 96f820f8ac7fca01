# Table 6, row 3: gather-and-distribute attention in the place of MGFE.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(_delete_=True, type='DoubleAttention')),
)
published = {
    'refcoco': {'P@0.5': 83.22, 'P@0.7': 74.09, 'P@0.9': 32.71, 'mIoU': 73.16, 'oIoU': 71.20},
}
