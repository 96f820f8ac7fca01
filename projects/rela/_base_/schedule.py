optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-5, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={
            'relative_position_bias_table': dict(decay_mult=0.0),
            'head.regions': dict(decay_mult=0.0),
            'head.places': dict(decay_mult=0.0),
            'head.levels': dict(decay_mult=0.0),
            'text_encoder': dict(decay_mult=1.0),  # BERT's norms, too
        },
    ),
    clip_grad=dict(max_norm=0.01),
)
param_scheduler = dict(type='MultiStepLR', milestones=[110_000, 140_000], gamma=0.1, by_epoch=False)
train_cfg = dict(type='IterBasedTrainLoop', max_iters=150_000, val_interval=5000)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(enable=False, base_batch_size=48)
