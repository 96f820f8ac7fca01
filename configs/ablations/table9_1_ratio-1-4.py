# Table 9, row 1: Dice to focal as 1 to 4.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice_weight=1, focal_weight=4),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.60, 'P@0.7': 75.31, 'P@0.9': 34.14, 'mIoU': 74.34, 'oIoU': 72.37}},
}
