_base_ = './cris_rn101_refcoco.py'

# the official code chooses the best epoch on testB here
dataset = dict(ann_folder='refcoco+', split_by='unc')
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
