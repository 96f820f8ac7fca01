_base_ = ['./_base_/swin-base.py', 'mgfe_ris::_base_/datasets/grefcoco.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=6, dataset=dict(per_sentence=True))  # on each of 8 GPUs
val_evaluator = dict(conventions=('evaluator', 'paper'))
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='gIoU'))
