# The choice of encoders: Swin-B, as a change of Swin-L, so that bases with another encoder get all of it.
_base_ = '../mgfe_ris/mgfe-ris_swin-large_refcoco.py'

model = dict(
    encoder=dict(
        embed_dims=128,
        num_heads=(4, 8, 16, 32),
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_20220317-55b0104a.pth'
        ),
    ),
    neck=dict(channels=(128, 256, 512, 1024)),
    decode_head=dict(channels=(128, 256, 512, 1024)),
)
