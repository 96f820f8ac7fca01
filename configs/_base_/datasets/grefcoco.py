_base_ = './refcoco.py'

dataset = dict(ann_folder='grefcoco', split_by='unc', no_target=True)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
val_evaluator = dict(type='GeneralizedRefSegMetric', min_pixels=50)
test_evaluator = val_evaluator
