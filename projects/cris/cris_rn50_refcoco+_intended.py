# CLIP at a tenth of the rate from the first epoch on; the best epoch is chosen on val
_base_ = './cris_rn50_refcoco+.py'

param_scheduler = [dict(type='MultiStepLR', milestones=[35], gamma=0.1, by_epoch=True)]
val_dataloader = dict(dataset=dict(split='val'))
