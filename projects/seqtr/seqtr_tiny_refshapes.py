# SeqTR in small, from scratch: trains on the built-in data set within minutes on 2 CPU cores. It reads a grid of one
# cell for 32 px: photos of 64 px are stretched to 256, so that the grid is 8 x 8
_base_ = [
    './_base_/model.py',
    'mgfe_ris::_base_/datasets/refshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

model = dict(
    channels_last=True,
    data_preprocessor=dict(tokenizer=dict(max_tokens=20)),
    text_encoder=dict(vocabulary_size=420, table_channels=64, channels=64, frozen_table=False),
    encoder=dict(widths=(4, 8, 16, 32, 64, 128), depths=(1, 1, 1, 1, 1)),
    points=12,
    bins=64,
    transformer=dict(channels=64, heads=4, hidden=128, encoder_layers=2, decoder_layers=2, dropout=0.0),
)
fit = dict(type='FitAndPad', scale=(256, 256))
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    fit,
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'to_input', 'fitted')),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), fit]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'to_input', 'fitted')),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
