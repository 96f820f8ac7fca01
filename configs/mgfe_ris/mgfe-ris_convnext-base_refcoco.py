_base_ = './mgfe-ris_swin-base_refcoco.py'

# 128 to 1024 channels, as Swin-B
model = dict(
    encoder=dict(
        _delete_=True,
        type='ConvNeXtEncoder',
        arch='base',
        drop_path_rate=0.4,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmclassification/v0/convnext/downstream/'
            'convnext-base_3rdparty_in21k_20220301-262fd037.pth',
        ),
    ),
)
