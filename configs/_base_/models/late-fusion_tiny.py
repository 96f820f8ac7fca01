# The same with small encoders, from scratch
_base_ = ['./lavt_tiny.py', '../schedules/tiny_10min.py', '../default_runtime.py']

model = dict(
    _delete_=True,
    channels_last=True,
    data_preprocessor=_base_.model.data_preprocessor,
    text_encoder=dict(_base_.model.text_encoder, sentence='mean'),
    encoder=dict(_base_.model.encoder, out_indices=(1, 2, 3)),
    loss=_base_.model.loss,
)
