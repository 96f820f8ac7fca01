# Table 6, row 4: LAVT, which is row 1 of Table 3. Rows 1 to 3 are this model with another G.
_base_ = './table3_1_baseline.py'

published = {
    '_delete_': True,
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.46, 'P@0.7': 75.28, 'P@0.9': 34.30, 'mIoU': 74.46, 'oIoU': 72.73}},
}
