"""Encoders of the sizes that a record says, without dropout."""


def swin_of(sizes: dict) -> dict:
    return dict(
        type='SwinEncoder',
        embed_dims=sizes['embed_dim'],
        depths=sizes['depths'],
        num_heads=sizes['num_heads'],
        window_size=sizes['window_size'],
        drop_path_rate=0.0,
    )


def bert_of(sizes: dict, positions: int, layers: int | None = None) -> dict:
    """``layers``: where the record does not say how many."""
    return dict(
        type='HFTextEncoder',
        config=dict(
            model_type='bert',
            vocab_size=sizes['vocab'],
            hidden_size=sizes['text_dim'],
            num_hidden_layers=layers or sizes['text_layers'],
            num_attention_heads=sizes['text_heads'],
            intermediate_size=sizes['text_ffn'],
            max_position_embeddings=positions,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
    )
