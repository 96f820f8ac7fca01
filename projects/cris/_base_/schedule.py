optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-4),
    # CLIP at a tenth of the rate, its tables of positions aside; the longest key that fits counts
    paramwise_cfg=dict(
        custom_keys={
            'encoder.': dict(lr_mult=0.1),
            'encoder.attnpool.positional_embedding': dict(lr_mult=1.0),
            'text_encoder.positional_embedding': dict(lr_mult=1.0),
        }
    ),
)
param_scheduler = [
    dict(type='OneRateAtFirst', by_epoch=True),
    dict(type='MultiStepLR', milestones=[35], gamma=0.1, by_epoch=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=64)
