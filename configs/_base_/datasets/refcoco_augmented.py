_base_ = './refcoco.py'

# the test pipeline stays the base's
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),  # first, so that a crop is refused for this sentence only
    dict(type='CropWithTarget', min_scale=0.7),
    dict(type='FlipWithWords', prob=0.5),
    _base_.resize,
    dict(type='ColourJitter', brightness=0.3, contrast=0.3, saturation=0.3),
    dict(type='WordDropout', prob=0.05),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
