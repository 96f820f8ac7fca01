# RefCOCO, RefCOCO+ and G-Ref (umd) to train on, without the photos that any of them holds in val or test: how many,
# say the log, and metrics.json in train_protocol. Add your own data as one more part. Validated and tested on
# RefCOCO; to test on another: --cfg-options test_dataloader.dataset.ann_folder=refcoco+
_base_ = './refcoco.py'

train_part = dict(
    type='ReferringDataset', data_root=_base_.data_root, split='train', pipeline=_base_.train_pipeline, split_by='unc'
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MixedDataset',
        datasets=[
            dict(train_part, ann_folder='refcoco'),
            dict(train_part, ann_folder='refcoco+'),
            dict(train_part, ann_folder='refcocog', split_by='umd'),
        ],
    )
)
