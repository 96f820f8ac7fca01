# Table 6, row 3: LAVT with "GACD", collect and diffuse, in the place of its pixel-word attention.
_base_ = './table3_1_baseline.py'

model = dict(
    neck=dict(attention=dict(type='CollectDiffuseAttention')),
)
published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 83.22, 'P@0.7': 74.09, 'P@0.9': 32.71, 'mIoU': 73.16, 'oIoU': 71.20}},
}
