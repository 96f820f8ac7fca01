_base_ = ['./mgfe-ris_swin-base_refcoco.py']

channels = (256, 512, 1024, 2048)

model = dict(
    encoder=dict(
        _delete_=True,
        type='ResNetEncoder',
        depth=101,
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet101-cd907fc2.pth'),
    ),
    neck=dict(channels=channels),
    decode_head=dict(channels=channels),
)
