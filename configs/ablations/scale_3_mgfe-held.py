# Does it help to hold the scale of G'? Row 2 with a norm on G'.
_base_ = './table3_2_mgfe.py'

model = dict(
    neck=dict(refine=dict(hold_scale=True)),
)
published = dict(_delete_=True)  # nobody's
