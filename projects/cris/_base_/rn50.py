_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='openai/clip-vit-base-patch16', max_tokens=17)),
    encoder=dict(
        depths=(3, 4, 6, 3),
        attention_pool=dict(out_channels=1024),
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50),
    ),
    text_encoder=dict(sentence_channels=1024, init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50)),
    neck_channels=(256, 512, 1024),
    decoder=dict(layers=3, heads=8, hidden=2048, dropout=0.1),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
