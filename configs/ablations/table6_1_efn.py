# Table 6, row 1: LAVT with EFN's co-attention in the place of its pixel-word attention.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(attention=dict(type='CoAttention')),
)
published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 83.50, 'P@0.7': 73.92, 'P@0.9': 33.82, 'mIoU': 73.55, 'oIoU': 71.84}},
}
