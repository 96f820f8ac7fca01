# Swin-B with window 12, BERT-base, 100 regions of 256 channels, photos of 480 pixels
_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased')),
    text_encoder=dict(
        pretrained='bert-base-uncased',
        config=dict(model_type='bert'),
        trainable_layers=10,
    ),
    encoder=dict(
        type='SwinEncoder',
        pretrain_img_size=384,
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_22k_20220317-e5c09f74.pth',
        ),
    ),
    neck=dict(channels=(128, 256, 512, 1024), text_channels=768),
    pixel_decoder=dict(channels=256, mask_channels=256, layers=6, heads=8, points=4, hidden=1024),
    head=dict(channels=256, grid=10, layers=9, heads=8, hidden=2048),
)
# with _base_/schedule.py, which counts steps, not epochs
default_hooks = dict(checkpoint=dict(interval=5000, by_epoch=False), logger=dict(log_metric_by_epoch=False))
