# ReLA in small, on sentences that mean several objects, one, or none
_base_ = [
    './_base_/tiny.py',
    'mgfe_ris::_base_/datasets/grefshapes.py',
    'mgfe_ris::_base_/schedules/tiny_10min.py',
]

val_evaluator = dict(conventions=('evaluator', 'paper'))
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='gIoU'))
