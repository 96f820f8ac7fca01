_base_ = './refcoco.py'

meta_keys = (*_base_.meta_keys, 'to_input')
letterbox = dict(type='Letterbox', scale=(416, 416))
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
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))  # on each of 8 GPUs
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
test_evaluator = dict(
    protocols=dict(
        own=dict(added=1e-6, strict=True),  # as CRIS, ETRIS and BarLeRIa score, by the model's own threshold
        common_photo=dict(threshold=0.5),
        common_480=dict(size=(480, 480), threshold=0.5),  # as the tables that LAVT stands in
    )
)
