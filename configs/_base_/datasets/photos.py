# Photos with sentences in RefCOCO's form, at 192 px, for laptops: DIR/images, DIR/refcoco. With so few photos, training
# crops, mirrors and recolours them
_base_ = './refcoco.py'

data_root = 'data/photos'
resize = dict(type='Resize', scale=(192, 192), keep_ratio=False, backend='pillow')
train_pipeline = [
    dict(type='LoadPhoto'),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='CropWithTarget', min_scale=0.6),
    dict(type='FlipWithWords', prob=0.5),
    resize,
    dict(type='ColourJitter', brightness=0.3, contrast=0.3, saturation=0.3),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='OncePerPhoto', transforms=[dict(type='LoadPhoto'), resize]),
    dict(type='LoadReferringMask'),
    dict(type='PickSentence'),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(batch_size=16, num_workers=1, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=1, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
test_cfg = dict(splits=('val',), shuffled=('val',))
