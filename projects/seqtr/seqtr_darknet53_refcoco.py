_base_ = ['./_base_/darknet53.py', 'mgfe_ris::_base_/datasets/refcoco.py', './_base_/schedule.py']

meta_keys = (*_base_.meta_keys, 'to_input', 'fitted', 'parts')
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    dict(type='LargeScaleJitter', scale=(640, 640), ratios=(0.3, 1.4)),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(
        type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), dict(type='FitAndPad', scale=(640, 640), divisor=32)]
    ),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
train_dataloader = dict(batch_size=128, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(score_at='photo', pipeline=test_pipeline))
test_dataloader = val_dataloader
test_evaluator = dict(
    protocols=dict(
        own=dict(crowds=True),  # as SeqTR's authors score, but for the size at which masks are compared
        common_photo=dict(),
        common_480=dict(size=(480, 480)),  # as the tables that LAVT stands in
    )
)
