# BarLeRIa in small, from scratch, so that nothing is frozen: trains on the built-in data set within minutes on 2 CPU
# cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/letterbox_refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=dict(width=128, depth=4, patch_size=16, grid=4, projection_channels=128, head_channels=32),
    text_encoder=dict(width=128, depth=2, sentence_channels=128, max_tokens=20, vocabulary_size=512),
    flow_steps=2,
    levels=(1, 2),
    side=dict(width=48, depth=4, heads=3, queries=8, fusions=((0, 0), (1, 1), (2, 2)), outputs=(4,)),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
    frozen=False,
)
