# CGFormer in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores; with a small
# convolutional encoder in the place of Swin
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/models/tiny_encoders.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(pretrained=None, trim=True)),
    text_encoder=_base_.tiny_bert,
    encoder=dict(_base_.tiny_resnet, position_map=(16, 16), max_pool=True),
    neck=dict(channels=(16, 32, 64, 128), text_channels=_base_.words),
    decoder=dict(channels=32, tokens=2, pixels=(4**2, 8**2, 16**2), dropout=0.0),
)
