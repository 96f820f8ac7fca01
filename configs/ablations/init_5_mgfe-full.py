# How MGFE begins: G' about as large as G (measured: 0.5 to 1.2 of it over the stages). By default it is about a third
# of G (0.27 to 0.53).
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(init_cfg=dict(type='Kaiming', override=dict(name='output')))),
)
