# Table 6, row 2: BRINet's bi-directional attention in the place of MGFE, whose pool_size it takes over.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(type='BidirectionalAttention', text_channels={{_base_.model.neck.text_channels}})),
)
published = {
    'refcoco': {'P@0.5': 82.26, 'P@0.7': 72.81, 'P@0.9': 33.31, 'mIoU': 72.42, 'oIoU': 70.19},
}
