# What all published sizes share: CLIP frozen, its tables of positions aside
_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='openai/clip-vit-base-patch16', max_tokens=17)),
    channels=512,
    decoder=dict(layers=3, heads=8, hidden=512, dropout=0.1),
    trained='positional_embedding',
    frozen_statistics=False,
)
default_hooks = dict(checkpoint=dict(save_best='mIoU'))
