_base_ = './full.py'

model = dict(
    encoder=dict(
        type='CLIPViTEncoder',
        grid=26,  # of photos of 416 pixels; the file's is 14
        projection_channels=512,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_vit_b16),
    ),
    text_encoder=dict(sentence_channels=512, init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_vit_b16)),
    bridge=dict(channels=64, heads=8),
)
