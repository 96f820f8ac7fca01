_base_ = './full.py'
weights = _base_.clip + 'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt'

model = dict(
    encoder=dict(
        type='CLIPResNetEncoder',
        depths=(3, 4, 6, 3),
        attention_pool=dict(out_channels=1024),
        norm_outs=False,
        init_cfg=dict(type='Pretrained', checkpoint=weights),
    ),
    text_encoder=dict(sentence_channels=1024, init_cfg=dict(type='Pretrained', checkpoint=weights)),
    bridge=dict(channels=64, heads=4, hidden=128, dropout=0.1),
)
