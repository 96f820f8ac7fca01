# CRIS in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/letterbox_refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=dict(depths=(1, 1, 1, 1), base_channels=16, attention_pool=dict(out_channels=128, grid=2)),
    text_encoder=dict(width=128, depth=2, sentence_channels=128, max_tokens=20, vocabulary_size=512),
    neck_channels=(64, 128, 128),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
)
