_base_ = './mgfe-ris_swin-base_refcoco.py'

channels = (192, 384, 768, 1536)

model = dict(
    encoder=dict(
        _delete_=True,
        type='SwinEncoder',
        pretrain_img_size=384,
        embed_dims=192,
        depths=(2, 2, 18, 2),
        num_heads=(6, 12, 24, 48),
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_large_patch4_window12_384_22k_20220412-6580f57d.pth',
        ),
    ),
    neck=dict(channels=channels),
    decode_head=dict(channels=channels),
)
