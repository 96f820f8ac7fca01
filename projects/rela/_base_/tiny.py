# From scratch: trains on the built-in data set within minutes on 2 CPU cores; with a small convolutional encoder in the
# place of Swin
_base_ = './model.py'

words = 128
model = dict(
    channels_last=True,
    text_encoder=dict(
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
    neck=dict(channels=(16, 32, 64, 128), text_channels=words),
    pixel_decoder=dict(channels=64, mask_channels=64, layers=2, heads=4, points=4, hidden=128),
    head=dict(channels=64, grid=8, layers=3, heads=4, hidden=128),
)
