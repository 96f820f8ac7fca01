_base_ = './refshapes.py'

meta_keys = (*_base_.meta_keys, 'to_input')
# The drawn photos are 64 px wide. Models of CLIP's shape decode on a grid of 16 px a side, on which such a photo would
# be 4 x 4; twice as large, their maps have the sizes of our small models', 32, 16, 8 and 4
letterbox = dict(type='Letterbox', scale=(128, 128))
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    letterbox,
    dict(type='PickSentence'),
    dict(type='PackReferringInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), letterbox]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackReferringInputs', meta_keys=meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
