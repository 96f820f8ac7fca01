# Tables 3 to 5, row 5: everything, the paper's model.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 86.83, 'P@0.7': 77.37, 'P@0.9': 35.43, 'mIoU': 76.17, 'oIoU': 73.96}},
    'refcoco+': {'val': {'P@0.5': 76.97, 'P@0.7': 68.32, 'P@0.9': 31.02, 'mIoU': 67.72, 'oIoU': 63.31}},
    'gref-umd': {'val': {'P@0.5': 73.19, 'P@0.7': 61.05, 'P@0.9': 24.69, 'mIoU': 66.23, 'oIoU': 63.33}},
}
