optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=5e-4, betas=(0.9, 0.98), eps=1e-9, amsgrad=True),
    clip_grad=dict(max_norm=0.15),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 6, by_epoch=True, begin=0, end=6),
    dict(type='MultiStepLR', milestones=[74], gamma=0.1, by_epoch=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=128)
