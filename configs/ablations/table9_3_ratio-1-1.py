# Table 9, row 3: Dice to focal as 1 to 1.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(dice_weight=1, focal_weight=1),
)
published = {
    'protocol': {'score_at': 'input', 'size': 480, 'training': 'single'},
    'refcoco': {'val': {'P@0.5': 84.96, 'P@0.7': 75.77, 'P@0.9': 34.13, 'mIoU': 74.65, 'oIoU': 72.45}},
}
