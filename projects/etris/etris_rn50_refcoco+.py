_base_ = ['./_base_/rn50.py', 'mgfe_ris::_base_/datasets/letterbox_refcoco+.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=16)  # on each of 2 GPUs
val_dataloader = dict(dataset=dict(split='testB'))  # as the official config has it: the best epoch is chosen on a test
