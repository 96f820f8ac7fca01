# Table 8, row 2: the baseline with multi-class Dice as the paper's code base has it, which squares p where eq. 19
# prints p (row 6 does the same to the full model).
_base_ = './table3_1_baseline.py'

model = dict(
    loss=dict(_delete_=True, type='MultiClassDiceLoss', squared=True),
)
published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 85.98, 'P@0.7': 76.73, 'P@0.9': 34.93, 'mIoU': 75.44, 'oIoU': 73.07}},
}
