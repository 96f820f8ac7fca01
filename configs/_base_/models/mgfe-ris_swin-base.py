# The paper's model, with the numbers of Swin-B, window 12 (128 to 1024 channels), and BERT-base.
_base_ = './swin-base_bert-base.py'

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
    # as many layers as the official baseline trains, so that a comparison differs by the modules alone
    text_encoder=dict(_base_.bert_base, trainable_layers=10),
    encoder=dict(_base_.swin_base, init_cfg=dict(type='Pretrained', checkpoint=_base_.swin_base_1k)),
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
