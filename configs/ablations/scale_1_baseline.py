# Does it help to hold the scale of G'? Row 1 of Table 3.
_base_ = './table3_1_baseline.py'
