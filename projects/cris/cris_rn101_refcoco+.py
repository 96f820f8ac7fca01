_base_ = ['./_base_/rn101.py', 'mgfe_ris::_base_/datasets/letterbox_refcoco+.py', './_base_/schedule.py']

val_dataloader = dict(dataset=dict(split='testB'))  # as the official config has it: the best epoch is chosen on a test
