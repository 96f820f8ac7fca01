_base_ = './mgfe-ris_swin-small_refcoco.py'

model = dict(
    encoder=dict(
        depths=(2, 2, 6, 2),
        init_cfg=dict(
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth',
        ),
    ),
)
