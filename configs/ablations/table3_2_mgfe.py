# Tables 3 to 5, row 2: MGFE without DW: F = G + G'.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=None),
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 85.38, 'P@0.7': 76.40, 'P@0.9': 34.78, 'mIoU': 75.30, 'oIoU': 73.12}},
    'refcoco+': {'val': {'P@0.5': 74.95, 'P@0.7': 66.06, 'P@0.9': 30.30, 'mIoU': 67.03, 'oIoU': 62.74}},
    'gref-umd': {'val': {'P@0.5': 71.37, 'P@0.7': 59.07, 'P@0.9': 23.61, 'mIoU': 64.32, 'oIoU': 62.30}},
}
