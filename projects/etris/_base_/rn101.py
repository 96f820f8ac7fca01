_base_ = './rn50.py'
weights = _base_.clip + '8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599/RN101.pt'

model = dict(
    encoder=dict(
        depths=(3, 4, 23, 3),
        attention_pool=dict(out_channels=512),
        init_cfg=dict(type='Pretrained', checkpoint=weights),
    ),
    text_encoder=dict(sentence_channels=512, init_cfg=dict(type='Pretrained', checkpoint=weights)),
)
