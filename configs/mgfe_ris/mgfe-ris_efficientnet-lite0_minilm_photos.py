# bash tools/quickstart.sh --photos DIR
_base_ = [
    '../_base_/models/mgfe-ris_efficientnet-lite0_minilm.py',
    '../_base_/datasets/photos.py',
    '../_base_/schedules/light_20e.py',
    '../_base_/default_runtime.py',
]

map_sizes = (48, 24, 12, 6)  # at 192 px

# What pretraining taught is better kept than learned anew from a few hundred photos: edges, batch statistics, and
# all of MiniLM, which would forget the words that are not among the sentences
model = dict(
    text_encoder=dict(trainable_layers=0),
    encoder=dict(frozen_stages=1, norm_eval=True),
)
