# Table 7, row 4: DW.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 86.83, 'P@0.7': 77.37, 'P@0.9': 35.43, 'mIoU': 76.17, 'oIoU': 73.96}},
}
