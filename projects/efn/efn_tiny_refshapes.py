# EFN in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    channels_last=True,
    text_encoder=dict(vocabulary_size=420, channels=64),
    encoder=dict(depths=(1, 1, 1, 1), channels=(16, 32, 64, 128, 128)),
    decoder=dict(channels=8),
)
