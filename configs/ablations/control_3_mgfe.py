# What the decoder reads, outside the paper's tables: MGFE without DW, which reads V + F as control_2 does: row 2 of
# Table 3.
_base_ = './table3_2_mgfe.py'
