# Table 8, row 3: Dice and a boundary term.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(_delete_=True, type='DiceBoundaryLoss'),
)
published = {
    'refcoco': {'P@0.5': 84.52, 'P@0.7': 75.18, 'P@0.9': 34.18, 'mIoU': 74.25, 'oIoU': 72.17},
}
