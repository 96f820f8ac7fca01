# Section 4.2: AdamW, 40 epochs, polynomial decay with power 0.9 per iteration to 0, 8 samples a step.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, fused=True),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'relative_position_bias_table': dict(decay_mult=0.0)}),
)
param_scheduler = dict(
    type='PolynomialLR', power=0.9, eta_min=0.0, begin=0, end=40, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=1)
auto_scale_lr = dict(enable=False, base_batch_size=8)
