# Table 7, row 1: fixed weights in the place of DW.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=dict(_delete_=True, type='FixedWeight')),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 85.53, 'P@0.7': 75.96, 'P@0.9': 34.28, 'mIoU': 74.57, 'oIoU': 72.89}},
}
