custom_imports = dict(imports=['mgfe_ris'])
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,  # every photo has one size
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
    tf32=dict(matmul=False, conv=True),  # what of float32 a GPU shortens; torch's own default
)
randomness = dict(seed=0)
sync_bn = 'torch'  # where several processes train
# model.compile = True, or a dict of torch.compile's options, compiles the model; mmengine's field compile does not fit
log_level = 'INFO'
load_from = None
resume = False
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')])
default_hooks = dict(
    runtime_info=dict(type='DeferredInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1, save_best='oIoU', rule='greater'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    epoch_summary=dict(type='EpochSummaryHook'),
    slow_steps=dict(type='SlowStepsHook'),  # says when other programs slow a CPU down
    non_finite=dict(type='NonFiniteHook', max_skipped=0),  # a loss that is no number stops the training
    pictures=dict(type='ValidationPictureHook', count=8),  # pictures/val_epoch_1.png in the work dir
)
custom_hooks = []  # dict(type='EMAHook'): validate, test and save the moving average of the weights
