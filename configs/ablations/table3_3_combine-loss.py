# Tables 3 to 5, row 3: the baseline with CombineLoss.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=None, weigh=dict(_delete_=True, type='LanguageGate'), decoder_reads='G'),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.95, 'P@0.7': 75.65, 'P@0.9': 34.55, 'mIoU': 74.97, 'oIoU': 72.89}},
    'refcoco+': {'val': {'P@0.5': 74.86, 'P@0.7': 65.80, 'P@0.9': 30.26, 'mIoU': 66.40, 'oIoU': 62.33}},
    'gref-umd': {'val': {'P@0.5': 71.13, 'P@0.7': 58.85, 'P@0.9': 22.91, 'mIoU': 63.82, 'oIoU': 61.48}},
}
