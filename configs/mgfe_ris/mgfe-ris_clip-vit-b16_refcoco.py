_base_ = './mgfe-ris_clip-rn50_refcoco.py'

channels = (768, 768, 768, 768)

model = dict(
    text_encoder=dict(init_cfg=dict(checkpoint=_base_.clip_vit_b16)),
    encoder=dict(
        _delete_=True,
        type='CLIPViTEncoder',
        width=768,
        depth=12,
        patch_size=16,
        grid=30,  # 480 px; the file's 14 x 14 positions are resized when it is read
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_vit_b16),
    ),
    # Every stage of a plain ViT has stride 16: 30 x 30 patches at 480 px, attending to 15 x 15
    neck=dict(channels=channels, refine=dict(pool_size=(2, 2, 2, 2))),
    decode_head=dict(channels=channels),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(class_embedding=dict(decay_mult=0.0))))
