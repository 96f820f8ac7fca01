_base_ = './model.py'

model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='openai/clip-vit-base-patch16', max_tokens=17)),
    encoder=dict(
        grid=26,  # patches of 16 pixels, of photos of 416
        projection_channels=512,
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_vit_b16),
    ),
    text_encoder=dict(sentence_channels=512, init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_vit_b16)),
    flow_steps=4,
    levels=(3, 7),
    side=dict(
        width=144,
        depth=8,
        heads=3,
        queries=128,
        fusions=((0, 0), (3, 1), (6, 2), (9, 3)),  # CLIP's block -> the side network's
        outputs=(8,),
    ),
    decoder=dict(layers=3, heads=8, hidden=512, dropout=0.1),
)
