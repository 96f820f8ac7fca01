# The paper's model, with the numbers of Swin-B, window 12 (128 to 1024 channels), and BERT-base.
channels = (128, 256, 512, 1024)
map_sizes = (120, 60, 30, 15)  # sides of the stages' maps at 480 px, for parts that are tied to one

model = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        tokenizer=dict(pretrained='bert-base-uncased', max_tokens=20),
    ),
    text_encoder=dict(
        type='HFTextEncoder',
        pretrained='bert-base-uncased',
        config=dict(model_type='bert'),
        trainable_layers=10,  # as the official baseline, so that a comparison differs by the modules alone
    ),
    encoder=dict(
        type='SwinEncoder',
        pretrain_img_size=384,
        embed_dims=128,
        depths=(2, 2, 18, 2),
        num_heads=(4, 8, 16, 32),
        window_size=12,
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/'
            'swin_base_patch4_window12_384_20220317-55b0104a.pth',
        ),
    ),
    neck=dict(
        type='MGFENeck',
        channels=channels,
        text_channels=768,
        attention=dict(type='PixelWordAttention'),
        refine=dict(type='MGFE', pool_size=(8, 4, 2, 1)),
        weigh=dict(type='DynamicWeight'),
        decoder_reads='V+F',
    ),
    decode_head=dict(type='LightDecodeHead', channels=channels),
    loss=dict(type='CombineLoss', dice_weight=1, focal_weight=3),
)
