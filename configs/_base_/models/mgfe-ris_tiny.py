# The paper's attention, MGFE, DW, head and loss on a small convolutional encoder and a two-layer text encoder:
# everything learns from scratch, on two CPU cores, in minutes.
channels = (16, 32, 64, 128)
map_sizes = (32, 16, 8, 4)  # sides of the stages' maps at 64 px, for parts that are tied to one
words = 128

model = dict(
    type='ReferringSegmentor',
    channels_last=True,
    data_preprocessor=dict(
        type='ReferringDataPreProcessor',
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        tokenizer=dict(pretrained=None, max_tokens=20, trim=True),
    ),
    text_encoder=dict(
        type='HFTextEncoder',
        config=dict(
            model_type='bert',
            vocab_size=420,
            hidden_size=words,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=256,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=32,
        ),
    ),
    encoder=dict(
        type='ResNetEncoder',
        depth=18,
        deep_stem=True,
        max_pool=False,
        stem_channels=16,
        base_channels=16,
        position_map=(32, 32),
        zero_init_residual=False,
        norm_eval=False,
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
    decode_head=dict(type='LightDecodeHead', channels=channels, hidden=32),
    loss=dict(type='CombineLoss', dice_weight=1, focal_weight=3),
)
