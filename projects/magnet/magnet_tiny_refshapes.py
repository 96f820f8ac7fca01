# MagNet in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

words = 128
model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
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
    text_encoder=dict(
        config=dict(
            model_type='bert',
            vocab_size=420,
            hidden_size=words,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=256,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=32,
        )
    ),
    words_read=(1, 2, 3, 4),
    text_mask='meant',
    pixel_decoder=dict(channels=64, layers=1, heads=4, points=4, hidden=128),
    mask_decoder=dict(layers=3, heads=4, hidden=128),
    mask_channels=64,
    sentence_channels=64,
    grounding=dict(mask_id=4, layers=1, heads=4),
    alignment=dict(temperature=0.07),
)
