_base_ = ['./_base_/swin-base.py', 'mgfe_ris::_base_/datasets/refcoco.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=8)  # on each of 8 GPUs
val_dataloader = dict(dataset=dict(score_at='photo'))
test_dataloader = val_dataloader
