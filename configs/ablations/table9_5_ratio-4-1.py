# Table 9, row 5: Dice to focal as 4 to 1.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice_weight=4, focal_weight=1),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 83.56, 'P@0.7': 74.63, 'P@0.9': 34.05, 'mIoU': 73.90, 'oIoU': 71.76}},
}
