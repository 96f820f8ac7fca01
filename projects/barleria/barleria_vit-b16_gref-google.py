_base_ = ['./_base_/vit-b16.py', 'mgfe_ris::_base_/datasets/letterbox_gref-google.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=4)  # on each of 8 GPUs
