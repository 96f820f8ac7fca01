# Table 6, row 1: EFN's co-attention in the place of MGFE.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(_delete_=True, type='CoAttention', text_channels={{_base_.model.neck.text_channels}})),
)
published = {
    'refcoco': {'P@0.5': 83.50, 'P@0.7': 73.92, 'P@0.9': 33.82, 'mIoU': 73.55, 'oIoU': 71.84},
}
