# BarLeRIa in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores. The real one adds
# little to a CLIP that is frozen; here nothing is pretrained, so nothing is frozen
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/letterbox_refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

width = 64  # of words, sentence and pixels
model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=dict(width=width, depth=4, patch_size=16, grid=8, projection_channels=width, head_channels=32),
    text_encoder=dict(width=width, depth=2, sentence_channels=width, max_tokens=20, vocabulary_size=512),
    flow_steps=2,
    levels=(1, 2),
    side=dict(width=48, depth=4, heads=3, queries=8, fusions=((0, 0), (1, 1), (2, 2)), outputs=(4,)),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
    frozen=False,
)
