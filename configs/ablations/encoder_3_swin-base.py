# The choice of encoders: Swin-B, spelt out for bases that have another one.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

channels = (128, 256, 512, 1024)

model = dict(
    encoder=dict(
        _delete_=True,
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
    neck=dict(channels=channels),
    decode_head=dict(channels=channels),
)
