_base_ = './full.py'

model = dict(
    encoder=dict(
        type='CLIPResNetEncoder',
        depths=(3, 4, 6, 3),
        attention_pool=dict(out_channels=1024),
        norm_outs=False,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50),
    ),
    text_encoder=dict(sentence_channels=1024, init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50)),
    bridge=dict(channels=64, heads=4, hidden=128, dropout=0.1),
)
