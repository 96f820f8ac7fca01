# The three flavours of RefShapes to train on, as mixed.py does with the real data sets.
_base_ = './refshapes.py'

train_part = dict(
    type='ReferringDataset', data_root=_base_.data_root, split='train', pipeline=_base_.pipeline, split_by='unc'
)
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='MixedDataset',
        datasets=[
            dict(train_part, ann_folder='refshapes'),
            dict(train_part, ann_folder='refshapes+'),
            dict(train_part, ann_folder='refshapesg', split_by='umd'),
        ],
    )
)
