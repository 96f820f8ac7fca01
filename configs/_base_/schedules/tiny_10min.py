# For the tiny model from scratch: about 8 minutes on 2 CPU cores.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01, fused=True),
    # a transformer from scratch at the convolutions' rate now and then falls silent: the model goes blind to language
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys=dict(text_encoder=dict(lr_mult=0.25))),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=3, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=32)
