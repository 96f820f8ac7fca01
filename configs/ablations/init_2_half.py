# Where the gates of DW begin: at tanh(0.5) = 0.46.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(weigh=dict(bias=0.5)),
)
