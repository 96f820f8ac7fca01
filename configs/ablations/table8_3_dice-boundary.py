# Table 8, row 3: the baseline with Dice, as in row 2, and 0.05 times a boundary term.
_base_ = './table3_1_baseline.py'

model = dict(
    loss=dict(_delete_=True, type='DiceBoundaryLoss', weight=0.05, dice=dict(squared=True)),
)
published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.52, 'P@0.7': 75.18, 'P@0.9': 34.18, 'mIoU': 74.25, 'oIoU': 72.17}},
}
