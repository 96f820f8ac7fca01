# Beside Table 8: CombineLoss with the softmax p inside eq. 22, which makes it the focal loss of Lin et al. As printed,
# it pulls half as hard at confident mistakes, and harder at pixels that are nearly right.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    loss=dict(focal=dict(type='SoftmaxFocalLoss', corrected=True)),
)
