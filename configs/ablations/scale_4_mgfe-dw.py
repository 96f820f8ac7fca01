# Does it help to hold the scale of G'? Row 4 of Table 3, where nothing holds it.
_base_ = './table3_4_mgfe_dw.py'
