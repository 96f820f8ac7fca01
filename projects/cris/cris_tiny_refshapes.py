# CRIS in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/letterbox_refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

width = 64  # of words, sentence and pixels
model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=dict(depths=(1, 1, 1, 1), base_channels=8, attention_pool=dict(out_channels=width, grid=4)),
    text_encoder=dict(width=width, depth=2, sentence_channels=width, max_tokens=20, vocabulary_size=512),
    neck_channels=(width // 2, width, width),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
)
