# bash tools/quickstart.sh --photos DIR
_base_ = [
    '../_base_/models/mgfe-ris_efficientnet-lite0_minilm.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/light_20e.py',
    '../_base_/default_runtime.py',
]

# on a few hundred photos, what ImageNet taught is better kept than learned anew
model = dict(encoder=dict(frozen_stages=1, norm_eval=True))
