# Table 7, row 2: the attention map of a 1x1 convolution in the place of DW.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=dict(_delete_=True, type='ConvAttention')),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.60, 'P@0.7': 75.31, 'P@0.9': 34.14, 'mIoU': 74.34, 'oIoU': 72.49}},
}
