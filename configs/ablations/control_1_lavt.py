# What the decoder reads, outside the paper's tables: LAVT reads G, MGFE's rows V + F, so Table 3 compares two changes
# at once. This is LAVT as it is: row 1 of Table 3.
_base_ = './table3_1_baseline.py'
