_base_ = [
    '../_base_/models/mgfe-ris_tiny.py',
    '../_base_/datasets/refcoco_64px.py',
    '../_base_/schedules/tiny_10min.py',
    '../_base_/default_runtime.py',
]
# the built-in vocabulary spells what people say and drawn scenes do not: sentences of 14 words become 45 tokens
model = dict(
    data_preprocessor=dict(tokenizer=dict(max_tokens=64)),
    text_encoder=dict(config=dict(max_position_embeddings=64)),
)
