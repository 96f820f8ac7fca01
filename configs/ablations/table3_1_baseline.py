# Tables 3 to 5, row 1: the baseline, which is LAVT.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=None, weigh=dict(_delete_=True, type='LanguageGate'), decoder_reads='G'),
    loss=dict(_delete_=True, type='WeightedCrossEntropyLoss', class_weight=(0.9, 1.1)),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.46, 'P@0.7': 75.28, 'P@0.9': 34.30, 'mIoU': 74.46, 'oIoU': 72.73}},
    'refcoco+': {'val': {'P@0.5': 74.44, 'P@0.7': 65.58, 'P@0.9': 30.23, 'mIoU': 65.81, 'oIoU': 62.14}},
    'gref-umd': {'val': {'P@0.5': 70.81, 'P@0.7': 58.60, 'P@0.9': 22.73, 'mIoU': 63.34, 'oIoU': 61.24}},
}
