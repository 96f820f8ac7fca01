_base_ = './mgfe-ris_swin-base_refcoco.py'

channels = (768, 768, 768, 768)

model = dict(
    encoder=dict(
        _delete_=True,
        type='ViTEncoder',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth',
        ),
    ),
    # Every stage of a plain ViT has stride 16: 30 x 30 patches at 480 px, attending to 15 x 15
    neck=dict(channels=channels, refine=dict(pool_size=(2, 2, 2, 2))),
    decode_head=dict(channels=channels),
)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(pos_embed=dict(decay_mult=0.0), cls_token=dict(decay_mult=0.0)))
)
