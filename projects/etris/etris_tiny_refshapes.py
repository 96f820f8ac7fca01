# ETRIS in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores. The real one adds bridges
# to a CLIP that is frozen; here nothing is pretrained, so everything is trained
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/letterbox_refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

width = 64  # of words, sentence and pixels
model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    encoder=dict(
        type='CLIPResNetEncoder',
        depths=(1, 1, 1, 1),
        base_channels=8,
        attention_pool=dict(out_channels=width, grid=4),
        norm_outs=False,
    ),
    text_encoder=dict(width=width, depth=3, sentence_channels=width, max_tokens=20, vocabulary_size=512),
    channels=width,
    bridge=dict(channels=32, heads=4, hidden=64, dropout=0.0),
    decoder=dict(layers=2, heads=4, hidden=256, dropout=0.0),
    trained='.',
)
