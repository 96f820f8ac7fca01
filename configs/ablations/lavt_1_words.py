# LAVT's own ablation: LAVT as it is, row 1 of Table 3.
_base_ = './table3_1_baseline.py'
