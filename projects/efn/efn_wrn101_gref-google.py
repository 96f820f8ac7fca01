_base_ = './efn_wrn101_refcoco.py'

dataset = dict(ann_folder='refcocog', split_by='google')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val',))
