# Tables 3 to 5, row 4: MGFE and DW.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 86.24, 'P@0.7': 77.05, 'P@0.9': 35.11, 'mIoU': 75.88, 'oIoU': 73.59}},
    'refcoco+': {'val': {'P@0.5': 75.98, 'P@0.7': 66.96, 'P@0.9': 30.88, 'mIoU': 67.40, 'oIoU': 62.95}},
    'gref-umd': {'val': {'P@0.5': 72.39, 'P@0.7': 60.27, 'P@0.9': 24.23, 'mIoU': 65.86, 'oIoU': 63.05}},
}
