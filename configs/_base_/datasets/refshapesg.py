_base_ = './refshapes.py'

dataset = dict(ann_folder='refshapesg', split_by='umd')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val', 'test'))
