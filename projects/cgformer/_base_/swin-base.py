# Swin-B with window 12, BERT-base, two tokens of 512 channels, photos of 480 pixels
_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased')),
    text_encoder=dict(pretrained='bert-base-uncased', config=dict(model_type='bert')),
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
    neck=dict(channels=(128, 256, 512, 1024), text_channels=768, attention=dict(num_heads=8)),
    decoder=dict(
        channels=512,
        tokens=2,
        pixels=(30**2, 60**2, 120**2),
        dropout=0.1,
        learned_temperature=False,
        noise='training',
    ),
)
