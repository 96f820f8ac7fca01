# Where the gates of DW begin: at tanh(1) = 0.76, the default.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=dict(bias=1.0)),
)
