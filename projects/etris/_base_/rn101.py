_base_ = './rn50.py'

model = dict(
    encoder=dict(
        depths=(3, 4, 23, 3),
        attention_pool=dict(out_channels=512),
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn101),
    ),
    text_encoder=dict(sentence_channels=512, init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn101)),
)
