_base_ = './refshapes.py'

dataset = dict(ann_folder='refshapes+')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
