# How MGFE begins: G' about as large as G. By default it is about a third of G.
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(init_cfg=dict(type='Kaiming', override=dict(name='output')))),
)
