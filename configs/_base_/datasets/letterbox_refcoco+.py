_base_ = './letterbox_refcoco.py'

dataset = dict(ann_folder='refcoco+', split_by='unc')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
