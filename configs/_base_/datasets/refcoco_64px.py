_base_ = './refcoco.py'

resize = dict(type='Resize', scale=(64, 64), keep_ratio=False, backend='pillow')
pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    resize,
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), resize]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=32, num_workers=1, dataset=dict(pipeline=pipeline))
# small photos: batches of many photos are faster than batches of one
val_dataloader = dict(batch_size=32, batch_sampler=None, num_workers=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
test_cfg = dict(splits=('train', 'val', 'testA', 'testB'), shuffled=('val',))
