# What VLT and LTS have of LAVT, as its authors rebuilt them: encoders, loss, preprocessing. Both read the sentence as
# the mean of its words, too, and maps from stride 8 on
_base_ = ['./lavt_swin-base.py', '../schedules/lavt_40e.py', '../default_runtime.py']

model = dict(
    _delete_=True,
    data_preprocessor=_base_.model.data_preprocessor,
    text_encoder=dict(_base_.model.text_encoder, sentence='mean'),
    encoder=dict(_base_.model.encoder, out_indices=(1, 2, 3)),
    loss=_base_.model.loss,
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head.': dict(decay_mult=1.0)}))
auto_scale_lr = dict(base_batch_size=32)  # 8 on each of 4 GPUs
