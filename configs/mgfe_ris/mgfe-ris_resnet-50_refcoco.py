_base_ = './mgfe-ris_swin-base_refcoco.py'

channels = (256, 512, 1024, 2048)

model = dict(
    encoder=dict(
        _delete_=True,
        type='ResNetEncoder',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='https://download.pytorch.org/models/resnet50-11ad3fa6.pth'),
    ),
    neck=dict(channels=channels),
    decode_head=dict(channels=channels),
)
