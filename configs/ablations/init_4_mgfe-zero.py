# How MGFE begins: G' = 0, so that the model starts without it. By default G' is about a third of G (0.27 to 0.53).
_base_ = '../mgfe_ris/mgfe-ris_swin-base_refcoco.py'

model = dict(
    neck=dict(refine=dict(init_cfg=dict(type='Constant', val=0.0, override=dict(name='output')))),
)
