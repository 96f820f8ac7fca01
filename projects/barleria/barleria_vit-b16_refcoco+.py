_base_ = ['./_base_/vit-b16.py', 'mgfe_ris::_base_/datasets/letterbox_refcoco+.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=4)  # on each of 8 GPUs
val_dataloader = dict(dataset=dict(split='testB'))  # as the official config has it: the best epoch is chosen on a test
