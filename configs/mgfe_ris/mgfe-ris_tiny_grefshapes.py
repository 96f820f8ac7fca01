_base_ = [
    '../_base_/models/mgfe-ris_tiny.py',
    '../_base_/datasets/grefshapes.py',
    '../_base_/schedules/tiny_10min.py',
    '../_base_/default_runtime.py',
]
default_hooks = dict(checkpoint=dict(save_best='gIoU'))
