# Does it help to hold the scale of G'? Row 4 with a norm on G'.
_base_ = './table3_4_mgfe_dw.py'

model = dict(
    neck=dict(refine=dict(hold_scale=True)),
)
published = dict(_delete_=True)  # nobody's
