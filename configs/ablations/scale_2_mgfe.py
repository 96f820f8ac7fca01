# Does it help to hold the scale of G'? Row 2 of Table 3, where nothing holds it.
_base_ = './table3_2_mgfe.py'
