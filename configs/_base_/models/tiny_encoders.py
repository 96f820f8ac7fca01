# Small encoders, which learn from scratch, on two CPU cores, in minutes; for configs to take by name:
# encoder=_base_.tiny_resnet
words = 128
tiny_resnet = dict(
    type='ResNetEncoder',
    depth=18,
    deep_stem=True,
    max_pool=False,
    stem_channels=16,
    base_channels=16,
    position_map=(32, 32),
    zero_init_residual=False,
    norm_eval=False,
)
tiny_bert = dict(
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
)
