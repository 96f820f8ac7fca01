_base_ = [
    '../_base_/models/lavt_swin-base.py',
    '../_base_/datasets/gref-google.py',
    '../_base_/schedules/lavt_40e.py',
    '../_base_/default_runtime.py',
]
