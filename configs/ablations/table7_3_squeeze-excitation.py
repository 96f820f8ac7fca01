# Table 7, row 3: squeeze and excitation in the place of DW.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=dict(_delete_=True, type='SqueezeExcitation')),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 85.66, 'P@0.7': 76.09, 'P@0.9': 34.55, 'mIoU': 75.12, 'oIoU': 73.23}},
}
