optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4, amsgrad=True),
    # both encoders at half of the rate; what lies between and after them at the whole
    paramwise_cfg=dict(custom_keys={'encoder.': dict(lr_mult=0.5)}),
)
param_scheduler = dict(
    type='PolynomialLR', power=0.9, eta_min=0.0, begin=0, end=50, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=64)
