_base_ = './mgfe-ris_resnet-50_refcoco.py'

model = dict(
    encoder=dict(depth=101, init_cfg=dict(checkpoint='https://download.pytorch.org/models/resnet101-cd907fc2.pth'))
)
