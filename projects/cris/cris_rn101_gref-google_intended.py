# CLIP at a tenth of the rate from the first epoch on
_base_ = './cris_rn101_gref-google.py'

param_scheduler = [dict(type='MultiStepLR', milestones=[35], gamma=0.1, by_epoch=True)]
