_base_ = './refcoco_64px.py'

data_root = 'data/refshapes'
dataset = dict(data_root=data_root, ann_folder='refshapes')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val', 'testA', 'testB'))
