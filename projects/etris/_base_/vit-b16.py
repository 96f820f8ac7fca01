_base_ = './full.py'
weights = _base_.clip + '5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt'

model = dict(
    encoder=dict(
        type='CLIPViTEncoder',
        grid=26,  # of photos of 416 pixels; the file's is 14
        projection_channels=512,
        init_cfg=dict(type='Pretrained', checkpoint=weights),
    ),
    text_encoder=dict(sentence_channels=512, init_cfg=dict(type='Pretrained', checkpoint=weights)),
    bridge=dict(channels=64, heads=8),
)
