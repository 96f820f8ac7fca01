_base_ = './refshapes.py'

dataset = dict(ann_folder='grefshapes', no_target=True)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
# the smallest object has about 30 pixels of 64 x 64; the 50 of gRefCOCO are of 480 x 480
val_evaluator = dict(type='GeneralizedRefSegMetric', min_pixels=16)
test_evaluator = val_evaluator
