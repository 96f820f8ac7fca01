_base_ = [
    '../_base_/models/mgfe-ris_tiny.py',
    '../_base_/datasets/refshapes_mixed.py',
    '../_base_/schedules/tiny_10min.py',
    '../_base_/default_runtime.py',
]
