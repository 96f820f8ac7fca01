# For light encoders on RefCOCO: section 4.2's epochs and batch; the new parts learn fast, the pretrained ones slowly.
# Not tried: it needs the data set.
_base_ = './light_20e.py'

optim_wrapper = dict(
    optimizer=dict(lr=5e-4, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(text_encoder=dict(lr_mult=0.1))),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=40, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=40, val_interval=1)
auto_scale_lr = dict(base_batch_size=8)
