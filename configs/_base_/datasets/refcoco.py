data_root = 'data/coco_ref'
meta_keys = ('img_path', 'img_id', 'ref_id', 'sent_id', 'sentence', 'ori_shape', 'img_shape')
# Pillow, as the official baseline: its bilinear resize filters, OpenCV's does not
resize = dict(type='Resize', scale=(480, 480), keep_ratio=False, backend='pillow')

train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    resize,
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), resize]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
dataset = dict(type='ReferringDataset', data_root=data_root, ann_folder='refcoco', split_by='unc')

train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(**dataset, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=16,  # sentences of one photo, which share its decoding and what comes before the first fusion
    batch_sampler=dict(type='PhotoBatchSampler'),
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**dataset, split='val', per_sentence=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='RefSegMetric')
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='SplitsTestLoop', splits=('val', 'testA', 'testB'))
