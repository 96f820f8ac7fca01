# Table 8, row 2: multi-class Dice.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(_delete_=True, type='MultiClassDiceLoss'),
)
published = {
    'refcoco': {'P@0.5': 85.98, 'P@0.7': 76.73, 'P@0.9': 34.93, 'mIoU': 75.44, 'oIoU': 73.07},
}
