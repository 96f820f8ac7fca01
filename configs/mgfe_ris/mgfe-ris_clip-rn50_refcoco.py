# CLIP's two towers, out of one archive
_base_ = ['./mgfe-ris_swin-base_refcoco.py', '../_base_/models/clip_weights.py']

channels = (256, 512, 1024, 2048)

model = dict(
    data_preprocessor=dict(
        mean=(122.7709, 116.7460, 104.0937),
        std=(68.5005, 66.6322, 70.3232),
        tokenizer=dict(pretrained='openai/clip-vit-base-patch16', keep_end=True, pad_id=0),
    ),
    text_encoder=dict(
        _delete_=True,
        type='CLIPTextTower',
        sentence_channels=None,  # the neck reads words
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50),
    ),
    encoder=dict(
        _delete_=True,
        type='CLIPResNetEncoder',
        depths=(3, 4, 6, 3),
        init_cfg=dict(type='Pretrained', checkpoint=_base_.clip_rn50),
    ),
    neck=dict(channels=channels, text_channels=512),
    decode_head=dict(channels=channels),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(positional_embedding=dict(decay_mult=0.0))))
