# MGFE, DW and CombineLoss, for configs to take by name: neck=_base_.mgfe_dw
mgfe_dw = dict(
    refine=dict(type='MGFE', pool_size=(8, 4, 2, 1)),
    weigh=dict(type='DynamicWeight'),
    decoder_reads='V+F',
)
combine_loss = dict(type='CombineLoss', dice_weight=1, focal_weight=3)
