# For pretrained light encoders on hundreds of photos: the new parts learn fast, the encoder slowly.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            'encoder.stem': dict(lr_mult=0.2),
            'encoder.blocks': dict(lr_mult=0.2),
            'encoder.position_map': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=20, val_interval=5)
auto_scale_lr = dict(enable=False, base_batch_size=16)
