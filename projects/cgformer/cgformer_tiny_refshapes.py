# CGFormer in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores; with a small
# convolutional encoder in the place of Swin
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

words = 128
model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(pretrained=None, trim=True)),
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
        stem_channels=16,
        base_channels=16,
        position_map=(16, 16),
        zero_init_residual=False,
        norm_eval=False,
    ),
    neck=dict(channels=(16, 32, 64, 128), text_channels=words),
    decoder=dict(channels=32, tokens=2, pixels=(4**2, 8**2, 16**2), dropout=0.0),
)
