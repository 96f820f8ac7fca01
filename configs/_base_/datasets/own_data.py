# A line of JSON per object in train.jsonl and val.jsonl, photos in photos/; see the README, "Your own data".
_base_ = './refcoco.py'

data_root = 'data/own'
dataset = dict(data_root=data_root, ann_folder=None, split_by=None, ann_file='*.jsonl', img_folder='photos')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val',))
