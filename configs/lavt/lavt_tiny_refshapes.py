_base_ = [
    '../_base_/models/lavt_tiny.py',
    '../_base_/datasets/refshapes.py',
    '../_base_/schedules/tiny_10min.py',
    '../_base_/default_runtime.py',
]
