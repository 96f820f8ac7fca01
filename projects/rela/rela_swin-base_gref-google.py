_base_ = ['./_base_/swin-base.py', 'mgfe_ris::_base_/datasets/gref-google.py', './_base_/schedule.py']

train_dataloader = dict(batch_size=6, dataset=dict(per_sentence=True))  # on each of 8 GPUs
val_evaluator = [
    dict(type='RefSegMetric'),
    dict(type='GeneralizedRefSegMetric', prefix='gres', conventions=('evaluator', 'paper')),  # as ReLA's authors score
]
test_evaluator = val_evaluator
