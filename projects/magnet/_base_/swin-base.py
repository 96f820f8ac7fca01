# Swin-B, window 12, and BERT-base
_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='bert-base-uncased', max_tokens=20)),
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
            'swin_base_patch4_window12_384_20220317-55b0104a.pth',
        ),
    ),
    text_encoder=dict(pretrained='bert-base-uncased', config=dict(model_type='bert')),
    words_read=(3, 6, 9, 12),
    pixel_decoder=dict(channels=256, layers=4, heads=8, points=4, hidden=1024),
    mask_decoder=dict(layers=9, heads=8, hidden=2048),
)
