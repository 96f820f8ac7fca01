_base_ = './seqtr_darknet53_refcoco.py'

model = dict(points=12, shuffled=0.2)
dataset = dict(ann_folder='refcocog', split_by='google')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_cfg = dict(splits=('val',))
