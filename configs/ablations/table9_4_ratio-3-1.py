# Table 9, row 4: Dice to focal as 3 to 1.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice_weight=3, focal_weight=1),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 85.31, 'P@0.7': 76.31, 'P@0.9': 34.75, 'mIoU': 75.11, 'oIoU': 73.09}},
}
