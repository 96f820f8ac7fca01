_base_ = './model.py'

clip = 'https://openaipublic.azureedge.net/clip/models/'
weights = clip + 'afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762/RN50.pt'
model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='openai/clip-vit-base-patch16', max_tokens=17)),
    encoder=dict(
        depths=(3, 4, 6, 3),
        attention_pool=dict(out_channels=1024),
        init_cfg=dict(type='Pretrained', checkpoint=weights),
    ),
    text_encoder=dict(sentence_channels=1024, init_cfg=dict(type='Pretrained', checkpoint=weights)),
    neck_channels=(256, 512, 1024),
    decoder=dict(layers=3, heads=8, hidden=2048, dropout=0.1),
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
