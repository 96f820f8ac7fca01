# The paper's MGFE, DW and CombineLoss inside of CGFormer
_base_ = './cgformer_swin-base_refcoco.py'

model = dict(
    neck=dict(
        refine=dict(type='MGFE', pool_size=(8, 4, 2, 1)),
        weigh=dict(_delete_=True, type='DynamicWeight'),
        decoder_reads='V+F',
    ),
    loss=dict(_delete_=True, type='CombineLoss', dice_weight=1, focal_weight=3),
)
