_base_ = './mgfe-ris_swin-base_refcoco.py'

# The architecture of roberta-base, spelt out so that building needs no network; words of width 768, as BERT's
model = dict(
    data_preprocessor=dict(tokenizer=dict(pretrained='FacebookAI/roberta-base')),
    text_encoder=dict(
        pretrained='FacebookAI/roberta-base',
        config=dict(
            _delete_=True,
            model_type='roberta',
            vocab_size=50265,
            max_position_embeddings=514,
            type_vocab_size=1,
            layer_norm_eps=1e-5,
        ),
    ),
    neck=dict(text_channels=768),
)
