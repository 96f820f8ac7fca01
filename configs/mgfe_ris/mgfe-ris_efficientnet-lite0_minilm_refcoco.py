_base_ = [
    '../_base_/models/mgfe-ris_efficientnet-lite0_minilm.py',
    '../_base_/datasets/refcoco.py',
    '../_base_/schedules/light_40e.py',
    '../_base_/default_runtime.py',
]
