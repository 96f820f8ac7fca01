_base_ = [
    '../_base_/models/mgfe-ris_swin-base.py',
    '../_base_/datasets/mixed.py',
    '../_base_/schedules/paper_40e.py',
    '../_base_/default_runtime.py',
]
